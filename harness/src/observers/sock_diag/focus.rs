//! Picks the listeners that belong to what is followed, by their ports or by who holds them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;

use super::netlink::Listener;
use crate::observers::{Focus, procfs};

/// Decides once for each listener, when it is first seen: who holds it takes a look at /proc.
pub(super) struct Picker {
    focus: Focus,
    /// By cookie.
    decided: HashMap<u64, bool>,
}

impl Picker {
    pub(super) fn new(focus: Focus) -> Self {
        Self { focus, decided: HashMap::new() }
    }

    /// Leaves only what belongs to the focus.
    pub(super) fn pick(&mut self, listeners: &mut HashMap<u64, Listener>) -> io::Result<()> {
        match &self.focus {
            Focus::Run { .. } | Focus::Namespace => {}
            Focus::Ports(ports) => listeners.retain(|_, listener| ports.contains(&listener.local.port())),
            Focus::Children { parent } => {
                let parent = *parent;
                self.decide(listeners, &[parent], Some(parent))?;
            }
            Focus::Processes(roots) => {
                let roots = roots.clone();
                self.decide(listeners, &roots, None)?;
            }
        }
        Ok(())
    }

    fn decide(
        &mut self,
        listeners: &mut HashMap<u64, Listener>,
        roots: &[u32],
        without: Option<u32>,
    ) -> io::Result<()> {
        self.decided.retain(|cookie, _| listeners.contains_key(cookie));
        if listeners.keys().any(|cookie| !self.decided.contains_key(cookie)) {
            let held = held(roots, without)?;
            for (cookie, listener) in &*listeners {
                self.decided.entry(*cookie).or_insert_with(|| held.contains(&listener.inode));
            }
        }
        listeners.retain(|cookie, _| self.decided.get(cookie).copied().unwrap_or(false));
        Ok(())
    }
}

/// The sockets of the processes below these roots, the roots included but for one.
fn held(roots: &[u32], without: Option<u32>) -> io::Result<HashSet<u64>> {
    let mut processes: BTreeSet<u32> = procfs::tree(roots)?;
    if let Some(without) = without {
        processes.remove(&without);
    }
    Ok(procfs::sockets_of(&processes))
}
