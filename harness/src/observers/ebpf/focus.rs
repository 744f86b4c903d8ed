//! Tells the programs what to follow: constants before they are loaded, maps before and after they are attached.

use std::collections::BTreeSet;
use std::error::Error;

use aya::Ebpf;
use aya::maps::{HashMap, MapData};
use portwitness_ebpf_common::{
    Offsets, SCOPE_CONNECTIONS, SCOPE_LISTENERS, SCOPE_PORTS, TRACK_ALL, TRACK_CHILDREN, UNKNOWN,
};

use super::load::{Wanted, causes, lacking};
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
pub(super) fn follow_existing(ebpf: &mut Ebpf, scope: &Scope, offsets: &Offsets) -> Result<PortFilter, ObserverError> {
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
            PortFilter::These(follow_tree(ebpf, roots, scope.netns, netns).map_err(failed)?)
        }
    })
}

/// A child that an untracked descendant makes is seen by the next look; one of a tracked descendant, by the programs.
fn follow_tree(
    ebpf: &mut Ebpf,
    roots: &[u32],
    netns: u32,
    netns_of_keys: u32,
) -> Result<BTreeSet<u16>, Box<dyn Error>> {
    let mut known: BTreeSet<u32> = roots.iter().copied().collect();
    loop {
        let found = procfs::tree(roots)?;
        let new: Vec<u32> = found.difference(&known).copied().collect();
        if new.is_empty() {
            break;
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
    let ports = procfs::ports_of(netns, &known)?;
    list_ports(ebpf, netns_of_keys, &ports)?;
    Ok(ports)
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
