//! Which threads belong to which process, and which processes are followed: from /proc first, then from the events.

use std::collections::HashMap;

use compact_str::CompactString;

use super::wire::CLONE_THREAD;
use crate::endpoint::Tgid;
use crate::history::Process;
use crate::observers::Focus;

/// How far a process is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Follow {
    /// It and what it spawns.
    All,
    /// Only what it spawns.
    Children,
}

/// All threads of the machine.
#[derive(Debug, Default)]
pub(super) struct Tree {
    threads: HashMap<u32, Thread>,
    /// Threads that each process has.
    sizes: HashMap<u32, usize>,
    followed: HashMap<u32, Follow>,
}

#[derive(Clone, Debug)]
struct Thread {
    tgid: u32,
    comm: CompactString,
}

/// What a clone made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Born {
    /// The process that made it.
    pub(super) parent: u32,
    /// The new process.
    pub(super) child: u32,
}

impl Tree {
    /// Follows what a focus asks for; the descendants of [`Focus::Processes`] are among them already.
    pub(super) fn follow(&mut self, focus: &Focus) {
        match focus {
            Focus::Run { parent } | Focus::Children { parent } => drop(self.followed.insert(*parent, Follow::Children)),
            Focus::Processes(processes) => {
                self.followed.extend(processes.iter().map(|process| (*process, Follow::All)));
            }
            Focus::Ports(_) | Focus::Namespace => {}
        }
    }

    /// A thread that /proc shows; one that an event told of is known better.
    pub(super) fn seed(&mut self, tid: u32, tgid: u32, comm: &str) {
        if !self.threads.contains_key(&tid) {
            self.insert(tid, tgid, comm.into());
        }
    }

    /// Whether a thread is known at all.
    pub(super) fn knows(&self, tid: u32) -> bool {
        self.threads.contains_key(&tid)
    }

    /// A thread whose making was not told, as /proc shows it; returns its process, if that is followed from now on.
    pub(super) fn found(&mut self, tid: u32, tgid: u32, parent: u32, comm: &str) -> Option<Born> {
        self.seed(tid, tgid, comm);
        self.born(parent, tgid)
    }

    /// The processes that are followed themselves.
    pub(super) fn followed(&self) -> impl Iterator<Item = u32> {
        self.followed.iter().filter(|(_, how)| **how == Follow::All).map(|(tgid, _)| *tgid)
    }

    /// Who a thread is, when its calls are wanted.
    pub(super) fn wanted(&self, tid: u32) -> Option<Process> {
        let thread = self.threads.get(&tid)?;
        let wanted = self.followed.get(&thread.tgid) == Some(&Follow::All);
        wanted.then(|| Process { tgid: Tgid(thread.tgid), tid, comm: thread.comm.clone() })
    }

    /// A clone returned in the thread `tid` of process `tgid`, with `result`; returns the process that it made, if it is
    /// followed and not known yet.
    pub(super) fn cloned(
        &mut self,
        tid: u32,
        tgid: u32,
        result: i64,
        parent: u32,
        flags: u32,
        comm: CompactString,
    ) -> Option<Born> {
        match result {
            // The child speaks for itself, before it can do anything else.
            0 if tid != tgid => {
                self.insert(tid, tgid, comm);
                None
            }
            0 => {
                let parent = self.threads.get(&parent).map_or(parent, |thread| thread.tgid);
                self.insert(tid, tgid, comm);
                self.born(parent, tgid)
            }
            1.. => {
                let child = result as u32;
                if let Some(known) = self.threads.get(&child) {
                    // It has spoken for itself; the flags of a clone3 are not always readable.
                    return if known.tgid == child { self.born(tgid, child) } else { None };
                }
                if flags & CLONE_THREAD != 0 {
                    self.seed(child, tgid, &comm);
                    return None;
                }
                self.seed(child, child, &comm);
                self.born(tgid, child)
            }
            _ => None,
        }
    }

    /// A program was executed by a process; its other threads are gone, and `tid` is the process's own number.
    pub(super) fn executed(&mut self, tgid: u32, parent: u32, comm: CompactString) {
        if !self.threads.contains_key(&tgid) {
            // It was not made by a system call: the kernel started it.
            let parent = self.threads.get(&parent).map_or(parent, |thread| thread.tgid);
            self.born(parent, tgid);
        }
        self.insert(tgid, tgid, comm);
    }

    /// A thread ended; returns its process when that was the last one.
    pub(super) fn exited(&mut self, tid: u32) -> Option<u32> {
        let tgid = self.threads.remove(&tid)?.tgid;
        let size = self.sizes.get_mut(&tgid)?;
        *size -= 1;
        if *size > 0 {
            return None;
        }
        self.sizes.remove(&tgid);
        // The parent whose children are followed does not end before the observer; its number must not pass to another.
        self.followed.remove(&tgid);
        Some(tgid)
    }

    fn born(&mut self, parent: u32, child: u32) -> Option<Born> {
        let follows = self.followed.contains_key(&parent) && !self.followed.contains_key(&child);
        follows.then(|| {
            self.followed.insert(child, Follow::All);
            Born { parent, child }
        })
    }

    fn insert(&mut self, tid: u32, tgid: u32, comm: CompactString) {
        *self.sizes.entry(tgid).or_default() += 1;
        if let Some(former) = self.threads.insert(tid, Thread { tgid, comm })
            && let Some(size) = self.sizes.get_mut(&former.tgid)
        {
            *size -= 1;
            if *size == 0 {
                self.sizes.remove(&former.tgid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.seed(10, 10, "harness");
        tree.seed(11, 10, "worker");
        tree.seed(50, 50, "other");
        tree.follow(&Focus::Run { parent: 10 });
        tree
    }

    #[test]
    fn children_and_theirs_are_followed_whoever_tells_of_them_first() {
        let mut tree = tree();
        assert_eq!(tree.wanted(10), None);
        // The child of a thread, by its own word; the parent's comes later and says nothing new.
        assert_eq!(tree.cloned(20, 20, 0, 11, 0, "harness".into()), Some(Born { parent: 10, child: 20 }));
        assert_eq!(tree.cloned(11, 10, 20, 1, 0, "worker".into()), None);
        tree.executed(20, 11, "sut".into());
        assert_eq!(tree.wanted(20).map(|who| (who.tgid, who.comm)), Some((Tgid(20), "sut".into())));
        // A grandchild by its parent's word, and a thread of it by its own.
        assert_eq!(tree.cloned(20, 20, 30, 10, 0, "sut".into()), Some(Born { parent: 20, child: 30 }));
        assert_eq!(tree.cloned(31, 30, 0, 20, CLONE_THREAD, "sut".into()), None);
        assert_eq!(tree.wanted(31).map(|who| who.tgid), Some(Tgid(30)));
        assert_eq!(tree.cloned(60, 60, 0, 50, 0, "other".into()), None);
        assert_eq!(tree.wanted(60), None);
    }

    #[test]
    fn a_process_ends_with_its_last_thread_and_its_number_is_free() {
        let mut tree = tree();
        tree.cloned(20, 20, 0, 10, 0, "sut".into());
        tree.cloned(21, 20, 0, 10, CLONE_THREAD, "sut".into());
        assert_eq!(tree.exited(20), None);
        assert!(tree.wanted(21).is_some());
        assert_eq!(tree.exited(21), Some(20));
        assert_eq!(tree.cloned(20, 20, 0, 50, 0, "other".into()), None);
        assert_eq!(tree.wanted(20), None);
        assert_eq!(tree.exited(99), None);
    }

    #[test]
    fn one_who_was_not_announced_is_found_by_its_parent() {
        let mut tree = tree();
        assert!(!tree.knows(20));
        assert_eq!(tree.found(21, 20, 10, "sut"), Some(Born { parent: 10, child: 20 }));
        assert_eq!(tree.wanted(21).map(|who| who.tgid), Some(Tgid(20)));
        assert_eq!(tree.found(60, 60, 50, "other"), None);
        assert!(tree.knows(60) && tree.wanted(60).is_none());
    }

    #[test]
    fn a_thread_whose_flags_were_not_readable_is_no_process() {
        let mut tree = tree();
        tree.cloned(20, 20, 0, 10, 0, "sut".into());
        tree.cloned(21, 20, 0, 10, 0, "sut".into());
        assert_eq!(tree.cloned(20, 20, 21, 10, 0, "sut".into()), None);
        assert_eq!(tree.wanted(21).map(|who| who.tgid), Some(Tgid(20)));
    }

    #[test]
    fn a_failed_clone_makes_nothing() {
        assert_eq!(tree().cloned(10, 10, -11, 1, 0, "harness".into()), None);
    }
}
