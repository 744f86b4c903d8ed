//! The observer that needs no privileges: asks the kernel for its listening TCP sockets again and again.
//!
//! It sees listeners alone, neither connections nor who did it, and each change as late as the next answer.

mod focus;
pub(super) mod netlink;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::focus::Picker;
use self::netlink::{Listener, SockDiag};
use super::monitor::Monitor;
use super::{Focus, Observer, ObserverError, Scope, procfs};
use crate::clock::Timestamp;
use crate::endpoint::SocketId;
use crate::history::{Event, Listening, ObserverChange, Process, Record, Recorder, SocketState, Source, TcpState};

/// A fence that takes longer has failed. It takes one poll, and on a busy machine the polling thread may wait for a CPU
/// for more than 1.5 s.
const FENCE_DEADLINE: Duration = Duration::from_secs(10);

/// How the sock_diag observer is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SockDiagSettings {
    /// Pause between two polls, in us.
    pub interval_us: u64,
}

impl Default for SockDiagSettings {
    fn default() -> Self {
        Self { interval_us: 1000 }
    }
}

/// Watches through sock_diag(7).
pub struct SockDiagObserver {
    recorder: Recorder,
    shared: Arc<Monitor<State>>,
    thread: Option<JoinHandle<()>>,
}

/// What the observer and its polling thread share.
#[derive(Default)]
struct State {
    /// When the last poll that is complete began.
    polled: Timestamp,
    stop: bool,
    /// For tests: the next poll panics.
    panic: bool,
    dead: Option<String>,
}

impl SockDiagObserver {
    /// Polls once, seeds the history with what listens, and goes on in a thread of its own. Sees the network namespace
    /// of the calling thread, which must be the one of the scope.
    pub fn start(scope: Scope, settings: SockDiagSettings) -> Result<Self, ObserverError> {
        let own = procfs::own_netns().map_err(io("find out the network namespace"))?;
        if own != scope.netns {
            return Err(lacking(
                format!("the calling thread is in network namespace {own}, not in {}", scope.netns),
                "start it within the namespace",
            ));
        }
        if matches!(scope.focus, Focus::Children { .. } | Focus::Processes(_)) {
            scope.recorder.record(Source::Procfs, Event::Note { text: procfs::TOUCHES.into() });
        }
        let mut poller = Poller {
            kernel: SockDiag::open().map_err(io("open a netlink socket"))?,
            netns: scope.netns,
            picker: Picker::new(scope.focus),
            known: HashMap::new(),
            last_began: Timestamp::now(),
            recorder: scope.recorder.clone(),
        };
        poller.seed().map_err(unanswered)?;
        let started = ObserverChange::Started {
            rung: "sock_diag".into(),
            uncertainty_ns: settings.interval_us.saturating_mul(1000),
            sees_connections: false,
        };
        scope.recorder.record(Source::SockDiag, Event::Observer(started));
        let shared = Arc::<Monitor<State>>::default();
        let thread = poller.spawn(Arc::clone(&shared), Duration::from_micros(settings.interval_us));
        let thread = Some(thread.map_err(io("start the polling thread"))?);
        Ok(Self { recorder: scope.recorder, shared, thread })
    }

    /// Asks once, and says how many sockets listen.
    pub fn probe() -> Result<usize, ObserverError> {
        let mut kernel = SockDiag::open().map_err(io("open a netlink socket"))?;
        kernel.listeners().map(|found| found.len()).map_err(unanswered)
    }

    /// For tests of what follows: makes the polling thread panic.
    #[doc(hidden)]
    pub fn panic_poller(&self) {
        self.shared.change(|state| state.panic = true);
    }

    fn end_thread(&mut self) {
        self.shared.change(|state| state.stop = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Observer for SockDiagObserver {
    fn describe(&self) -> String {
        "sock_diag".into()
    }

    /// Waits for a poll that began after the call: what happened before it is in its answer.
    fn fence(&mut self) -> Result<(), ObserverError> {
        let began = Timestamp::now();
        let polled = self.shared.wait(FENCE_DEADLINE, |state| state.polled >= began || state.dead.is_some());
        if let Some(reason) = self.shared.look(|state| state.dead.clone()) {
            return Err(ObserverError::Died { observer: self.describe(), reason });
        }
        // The one poll is the only sentinel, and it covers every CPU.
        let seen = u32::from(polled);
        self.recorder.record(Source::SockDiag, Event::Fence { began, cpus: 1, seen });
        if seen == 0 {
            let reason = format!("no poll was completed within {FENCE_DEADLINE:?}");
            return Err(ObserverError::Died { observer: self.describe(), reason });
        }
        Ok(())
    }

    /// There are none to be had here.
    fn set_causes(&mut self, _on: bool) -> Result<(), ObserverError> {
        Ok(())
    }

    fn stop(mut self: Box<Self>) -> Result<(), ObserverError> {
        let fenced = self.fence();
        self.end_thread();
        if fenced.is_ok() {
            self.recorder.record(Source::SockDiag, Event::Observer(ObserverChange::Stopped));
        }
        fenced
    }
}

impl Drop for SockDiagObserver {
    fn drop(&mut self) {
        self.end_thread();
    }
}

/// Compares each answer with the one before.
struct Poller {
    kernel: SockDiag,
    netns: u32,
    picker: Picker,
    /// By cookie, which is never used again (net/core/sock_diag.c).
    known: HashMap<u64, Listener>,
    /// When the last complete poll began.
    last_began: Timestamp,
    recorder: Recorder,
}

impl Poller {
    fn seed(&mut self) -> std::io::Result<()> {
        self.last_began = Timestamp::now();
        self.known = self.listeners()?;
        for seed in self.known.values() {
            let seed = Listening { local: seed.local, netns: self.netns, ipv6_only: seed.ipv6_only, process: None };
            let event = Event::Listening(seed);
            self.recorder.append(Record { at: self.last_began, uncertainty_ns: 0, source: Source::SockDiag, event });
        }
        Ok(())
    }

    fn spawn(mut self, shared: Arc<Monitor<State>>, interval: Duration) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("sock-diag".into()).spawn(move || {
            while !shared.look(|state| state.stop) {
                let panics = shared.look(|state| state.panic);
                let polled = catch_unwind(AssertUnwindSafe(|| {
                    assert!(!panics, "it was told to panic");
                    self.poll()
                }));
                let outcome = polled.unwrap_or_else(|_| Err(std::io::Error::other("the polling thread panicked")));
                match outcome {
                    Ok(()) => shared.change(|state| state.polled = self.last_began),
                    Err(error) => {
                        let reason = format!("polling over netlink failed: {error}");
                        let died = Event::Observer(ObserverChange::Died { reason: reason.clone() });
                        self.recorder.record(Source::SockDiag, died);
                        shared.change(|state| (state.dead, state.stop) = (Some(reason), true));
                    }
                }
                std::thread::sleep(interval);
            }
        })
    }

    fn listeners(&mut self) -> std::io::Result<HashMap<u64, Listener>> {
        let mut listeners = self.kernel.listeners()?;
        self.picker.pick(&mut listeners)?;
        Ok(listeners)
    }

    fn poll(&mut self) -> std::io::Result<()> {
        let began = Timestamp::now();
        let listeners = self.listeners()?;
        let at = Timestamp::now();
        // Seen first now: it may have begun right after the last poll did, and before the answer was complete.
        let uncertainty_ns = at.since(self.last_began).as_nanos() as u64;
        for (cookie, listener, change) in changes(&self.known, &listeners) {
            self.append(at, uncertainty_ns, cookie, listener, change);
        }
        self.known = listeners;
        self.last_began = began;
        Ok(())
    }

    fn append(&self, at: Timestamp, uncertainty_ns: u64, cookie: u64, of: &Listener, change: (TcpState, TcpState)) {
        let event = Event::SocketState(SocketState {
            socket: SocketId(cookie),
            netns: self.netns,
            local: of.local,
            remote: None,
            from: change.0,
            to: change.1,
            ipv6_only: of.ipv6_only,
            refused: false,
            process: Process::default(),
        });
        self.recorder.append(Record { at, uncertainty_ns, source: Source::SockDiag, event });
    }
}

/// What opened and what closed between two answers: cookie, listener, states before and after.
///
/// Openings come first. Which was first is not known, and a listener that is handed over without a gap must not look
/// like a port that closed and opened again.
fn changes<'a>(
    before: &'a HashMap<u64, Listener>,
    after: &'a HashMap<u64, Listener>,
) -> impl Iterator<Item = (u64, &'a Listener, (TcpState, TcpState))> {
    let only_in = |one: &'a HashMap<u64, Listener>, other: &'a HashMap<u64, Listener>| {
        one.iter().filter(|(cookie, _)| !other.contains_key(cookie)).map(|(cookie, listener)| (*cookie, listener))
    };
    let opened = only_in(after, before).map(|(cookie, of)| (cookie, of, (TcpState::Close, TcpState::Listen)));
    let closed = only_in(before, after).map(|(cookie, of)| (cookie, of, (TcpState::Listen, TcpState::Close)));
    opened.chain(closed)
}

fn unanswered(error: std::io::Error) -> ObserverError {
    let way_out = "load it (`modprobe tcp_diag`), or run another `--observer` as root";
    lacking(format!("the kernel answers no sock_diag request for TCP ({error})"), way_out)
}

fn lacking(lacks: String, way_out: &str) -> ObserverError {
    ObserverError::Lacking { observer: "sock_diag".into(), lacks, way_out: way_out.into() }
}

fn io(doing: &str) -> impl FnOnce(std::io::Error) -> ObserverError + use<> {
    let doing = format!("sock_diag: could not {doing}");
    move |source| ObserverError::Io { doing, source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_handover_within_one_poll_leaves_no_gap() {
        let listener = || Listener { local: "127.0.0.1:1".parse().unwrap(), ipv6_only: false, inode: 1 };
        let (before, after) =
            (HashMap::from([(1, listener()), (2, listener())]), HashMap::from([(2, listener()), (3, listener())]));
        let seen: Vec<_> = changes(&before, &after).map(|(cookie, _, change)| (cookie, change)).collect();
        assert_eq!(seen, [(3, (TcpState::Close, TcpState::Listen)), (1, (TcpState::Listen, TcpState::Close))]);
    }
}
