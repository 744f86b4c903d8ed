//! What the kernel says of ports and processes, without touching them.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::system::SOON;

/// Time between two looks.
const PERIOD: Duration = Duration::from_millis(4);
/// For how long a port must stay as it is in the end.
const QUIET: Duration = Duration::from_millis(400);
/// A socket in LISTEN, as `/proc/net/tcp` writes it.
const LISTEN: &str = "0A";

/// How many listeners each port had at some moment between two.
struct Look {
    begun: Instant,
    ended: Instant,
    counts: Vec<usize>,
}

/// A time in which a port had so many listeners at every look.
struct Phase {
    listeners: usize,
    /// The end of the first look.
    first: Instant,
    /// The beginning of the last one.
    last: Instant,
}

/// A thread that watches ports.
pub(crate) struct Watch {
    addresses: Vec<SocketAddr>,
    over: Arc<AtomicBool>,
    looks: mpsc::Receiver<Look>,
    thread: JoinHandle<()>,
}

/// What ports did, by address.
pub(crate) struct Seen(Vec<(SocketAddr, Vec<Phase>)>);

impl Watch {
    /// Starts watching; returns when it has had its first look.
    pub(crate) fn start(addresses: &[SocketAddr]) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (sender, looks) = mpsc::channel();
        let (ready, begun) = mpsc::channel();
        let (own, stop) = (addresses.to_vec(), over.clone());
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                let begun = Instant::now();
                let table = table();
                let counts = own.iter().map(|address| count(&table, *address, &[LISTEN])).collect();
                let _ = sender.send(Look { begun, ended: Instant::now(), counts });
                let _ = ready.send(());
                thread::sleep(PERIOD);
            }
        });
        begun.recv_timeout(SOON).unwrap();
        Self { addresses: addresses.to_vec(), over, looks, thread }
    }

    /// Asserts that each port has had these numbers of listeners, one after the other, and keeps the last.
    pub(crate) fn finish(self, wanted: &[&[usize]]) -> Seen {
        let mut phases: Vec<Vec<Phase>> = self.addresses.iter().map(|_| Vec::new()).collect();
        let start = Instant::now();
        let mut done = None;
        while start.elapsed() < 2 * SOON && done.is_none_or(|done: Instant| done.elapsed() < QUIET) {
            let Look { begun, ended, counts } = self.looks.recv_timeout(SOON).unwrap();
            for (phases, listeners) in phases.iter_mut().zip(counts) {
                match phases.last_mut() {
                    Some(phase) if phase.listeners == listeners => phase.last = begun,
                    _ => phases.push(Phase { listeners, first: ended, last: begun }),
                }
            }
            if done.is_none() && phases.iter().zip(wanted).all(|(phases, wanted)| phases.len() >= wanted.len()) {
                done = Some(ended);
            }
        }
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
        for ((address, phases), wanted) in self.addresses.iter().zip(&phases).zip(wanted) {
            let counts: Vec<usize> = phases.iter().map(|phase| phase.listeners).collect();
            assert_eq!(counts, *wanted, "listeners of {address}");
        }
        Seen(self.addresses.into_iter().zip(phases).collect())
    }
}

impl Seen {
    /// How long after `start` a port can have closed at the latest.
    pub(crate) fn closed_after(&self, address: SocketAddr, start: Instant) -> Duration {
        let (_, phases) = self.0.iter().find(|(own, _)| *own == address).unwrap();
        phases[1].first - start
    }

    /// For how long a port was in its second phase: at least, and at the most, as the looks can tell.
    pub(crate) fn pause(&self, address: SocketAddr) -> (Duration, Duration) {
        let (_, phases) = self.0.iter().find(|(own, _)| *own == address).unwrap();
        let [before, pause, after] = &phases[..3] else { panic!("{address} has no second phase") };
        (pause.last.saturating_duration_since(pause.first), after.first - before.last)
    }
}

/// How many TCP sockets in one of these states have this local IPv4 address.
pub(crate) fn sockets(address: SocketAddr, states: &[&str]) -> usize {
    count(&table(), address, states)
}

fn table() -> String {
    fs::read_to_string("/proc/net/tcp").unwrap()
}

/// An IPv4 address, as the table writes it.
fn written(address: SocketAddr) -> String {
    let IpAddr::V4(ip) = address.ip() else { panic!("{address} is not IPv4") };
    format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port())
}

fn count(table: &str, address: SocketAddr, states: &[&str]) -> usize {
    let local = written(address);
    let is_one = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some(local.as_str()) && fields.nth(1).is_some_and(|state| states.contains(&state))
    };
    table.lines().filter(is_one).count()
}

/// Number of the socket that listens at an address.
pub(crate) fn listener(address: SocketAddr) -> u64 {
    let (table, local) = (table(), written(address));
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut found = lines.filter(|fields| fields[1] == local && fields[3] == LISTEN);
    found.next().unwrap_or_else(|| panic!("nothing listens at {address}"))[9].parse().unwrap()
}

/// What the descriptors of a process refer to.
pub(crate) fn descriptors(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    // A descriptor may be closed between the two calls.
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.map(|link| link.to_string_lossy().into_owned()).collect()
}

/// The children of a process.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let field = format!("PPid:\t{parent}");
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // A process may end between the two calls.
    let is_child = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line == field)
    };
    pids.filter(is_child).collect()
}

/// Resident memory of a process, in KiB.
pub(crate) fn resident(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    resident.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Waits for a condition.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < SOON, "{what}: not in time");
        thread::sleep(PERIOD);
    }
}
