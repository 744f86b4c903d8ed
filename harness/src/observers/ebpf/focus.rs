//! Tells the programs what to follow: constants before they are loaded, maps before and after they are attached.

use std::collections::BTreeSet;
use std::error::Error;

use aya::Ebpf;
use aya::maps::{HashMap, MapData};
use portwitness_ebpf_common::{
    Offsets, SCOPE_CONNECTIONS, SCOPE_LISTENERS, SCOPE_PORTS, TRACK_ALL, TRACK_CHILDREN, UNKNOWN,
};

use super::load::{Loaded, Wanted, causes, lacking};
use crate::history::{Event, Source};
use crate::observers::procfs::{self, PortFilter};
use crate::observers::{Focus, ObserverError, Scope};

/// The constant `SCOPE`.
pub(super) fn bits(focus: &Focus) -> u32 {
    match focus {
        Focus::Run { .. } => SCOPE_LISTENERS,
        Focus::Children { .. } => 0,
        Focus::Processes(_) | Focus::Ports(_) => SCOPE_PORTS,
        Focus::Namespace => SCOPE_LISTENERS | SCOPE_CONNECTIONS,
    }
}

/// Whether any process is followed at all.
pub(super) fn follows_processes(focus: &Focus) -> bool {
    match focus {
        Focus::Run { .. } | Focus::Children { .. } | Focus::Processes(_) => true,
        Focus::Ports(_) | Focus::Namespace => false,
    }
}

/// Refuses what cannot be told apart here: without BTF the programs do not know the namespace of a socket, and a focus
/// that asks for no process has nothing else to go by.
pub(super) fn possible(focus: &Focus, offsets: &Offsets) -> Result<(), ObserverError> {
    if follows_processes(focus) || offsets.sk_net != UNKNOWN {
        return Ok(());
    }
    let lacks = "without BTF the sockets of one network namespace cannot be told from those of another";
    Err(lacking("ebpf", lacks, "follow a process with `--pid`, or use `--observer sock-diag`"))
}

/// Fills the maps with what is followed from the moment of attaching.
pub(super) fn follow_first(ebpf: &mut Ebpf, wanted: &Wanted) -> Result<(), Box<dyn Error>> {
    let processes: Vec<(u32, u32)> = match &wanted.focus {
        Focus::Run { parent } | Focus::Children { parent } => vec![(*parent, TRACK_CHILDREN)],
        Focus::Processes(roots) => roots.iter().map(|root| (*root, TRACK_ALL)).collect(),
        Focus::Ports(_) | Focus::Namespace => Vec::new(),
    };
    let mut tracked = tracked(ebpf)?;
    for (process, how) in processes {
        tracked.insert(process, how, 0)?;
    }
    match &wanted.focus {
        Focus::Ports(asked) => list_ports(ebpf, wanted.netns, asked),
        _ => Ok(()),
    }
}

/// Adds the descendants that are there already, once the programs see new ones, and the ports at which they listen;
/// returns the ports whose listeners are to be seeded.
pub(super) fn follow_existing(
    loaded: &mut Loaded,
    scope: &Scope,
    offsets: &Offsets,
) -> Result<PortFilter, ObserverError> {
    let failed = |error: Box<dyn Error>| ObserverError::Io {
        doing: "ebpf: could not follow the processes that are there".into(),
        source: std::io::Error::other(causes(error.as_ref())),
    };
    Ok(match &scope.focus {
        Focus::Run { .. } | Focus::Namespace => PortFilter::All,
        Focus::Children { .. } => PortFilter::These(BTreeSet::new()),
        Focus::Ports(ports) => PortFilter::These(ports.clone()),
        Focus::Processes(roots) => {
            let netns = if offsets.sk_net == UNKNOWN { 0 } else { scope.netns };
            let known = follow_tree(&mut loaded.ebpf, roots).map_err(failed)?;
            let ports = ports_of(loaded, scope, &known).map_err(failed)?;
            list_ports(&mut loaded.ebpf, netns, &ports).map_err(failed)?;
            PortFilter::These(ports)
        }
    })
}

/// A child that an untracked descendant makes is seen by the next look; one of a tracked descendant, by the programs.
fn follow_tree(ebpf: &mut Ebpf, roots: &[u32]) -> Result<BTreeSet<u32>, Box<dyn Error>> {
    let mut known: BTreeSet<u32> = roots.iter().copied().collect();
    loop {
        let found = procfs::tree(roots)?;
        let new: Vec<u32> = found.difference(&known).copied().collect();
        if new.is_empty() {
            return Ok(known);
        }
        let mut tracked = tracked(ebpf)?;
        for process in new {
            tracked.insert(process, TRACK_ALL, 0)?;
            if !procfs::is_there(process) {
                let _ = tracked.remove(&process);
            }
            known.insert(process);
        }
    }
}

/// The ports at which what is followed listens already. Where the kernel cannot be asked who holds a socket, /proc is, and
/// the history says so.
fn ports_of(loaded: &mut Loaded, scope: &Scope, processes: &BTreeSet<u32>) -> Result<BTreeSet<u16>, Box<dyn Error>> {
    if let Err(why) = &loaded.looks {
        let text = format!("{}; {why}", procfs::TOUCHES);
        tracing::warn!("{text}");
        scope.recorder.record(Source::Procfs, Event::Note { text });
        return Ok(procfs::ports_of(scope.netns, processes)?);
    }
    let listening = procfs::listeners(scope.netns, &PortFilter::All)?;
    let holders = loaded.holders(&listening.iter().map(|(inode, _)| *inode).collect())?;
    let is_followed = |inode: &u64| holders.get(inode).is_some_and(|holder| holder.tracked != 0);
    Ok(listening.iter().filter(|(inode, _)| is_followed(inode)).map(|(_, seed)| seed.local.port()).collect())
}

fn list_ports(ebpf: &mut Ebpf, netns: u32, ports: &BTreeSet<u16>) -> Result<(), Box<dyn Error>> {
    let mut listed = HashMap::<_, u64, u8>::try_from(ebpf.map_mut("PORTS").ok_or("no map PORTS")?)?;
    for port in ports {
        listed.insert(u64::from(netns) << 32 | u64::from(*port), 1, 0)?;
    }
    Ok(())
}

fn tracked(ebpf: &mut Ebpf) -> Result<HashMap<&mut MapData, u32, u32>, Box<dyn Error>> {
    Ok(HashMap::try_from(ebpf.map_mut("TRACKED").ok_or("no map TRACKED")?)?)
}
