//! Children, threads and other programs that hold a listener, hand it on, or end with it.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::process::{Pid, Signal, WaitOptions, waitpid};

use crate::claim::{By, Did};
use crate::programs::{Continuation, Program};
use crate::script::{Plan, Script, now};

/// A child of the actor.
pub(crate) struct Child {
    pid: Pid,
    by: By,
    gate: Gate,
    /// Its end had not begun at this moment.
    since: u64,
}

/// Two pipes: one says how far a child is, one lets it go on.
pub(crate) struct Gate {
    reached: (OwnedFd, OwnedFd),
    go: (OwnedFd, OwnedFd),
}

impl Gate {
    pub(crate) fn new() -> Self {
        // Inherited over exec.
        Self { reached: rustix::pipe::pipe().unwrap(), go: rustix::pipe::pipe().unwrap() }
    }

    /// The child's ends: where it says how far it is, where it waits.
    pub(crate) fn fds(&self) -> (i32, i32) {
        (self.reached.1.as_raw_fd(), self.go.0.as_raw_fd())
    }

    /// The child waits for the word to go on.
    pub(crate) fn pause(&self) {
        rustix::io::write(&self.reached.1, b".").unwrap();
        assert_eq!(rustix::io::read(&self.go.0, &mut [0_u8]), Ok(1));
    }
}

impl Child {
    pub(crate) fn new(pid: i32, by: By, gate: Gate, since: u64) -> Self {
        Self { pid: Pid::from_raw(pid).unwrap(), by, gate, since }
    }

    /// Waits until the child pauses.
    pub(crate) fn reached(&self) {
        assert_eq!(rustix::io::read(&self.gate.reached.0, &mut [0_u8]), Ok(1));
    }

    /// Lets it go on.
    pub(crate) fn go(&mut self) {
        self.since = now();
        rustix::io::write(&self.gate.go.1, b".").unwrap();
    }

    /// Waits for its end, and claims it along with what ended with it.
    pub(crate) fn ends_with(self, script: &Script, closes: &[Did]) -> i32 {
        let (_, status) = waitpid(Some(self.pid), WaitOptions::empty()).unwrap().unwrap();
        let (after, status) = (Some(now()), status.as_raw());
        for did in closes.iter().cloned().chain([Did::Exited { status }]) {
            script.claim_by(did, self.since, after, self.by.clone());
        }
        status
    }

    /// Waits for its end, which must be in order.
    pub(crate) fn ends(self, script: &Script) {
        assert_eq!(self.ends_with(script, &[]), 0, "a child of the actor failed");
    }
}

/// A child with a copy of everything.
pub(crate) fn fork(script: &Script, play: impl FnOnce(&Gate)) -> Child {
    let gate = Gate::new();
    // SAFETY: one thread alone forks, and the child runs nothing but this program's own code.
    child(script, gate, || unsafe { libc::fork() }, play)
}

/// A child that shares with this process what the flags say, its memory excepted.
pub(crate) fn clone(script: &Script, flags: i32, play: impl FnOnce()) -> Child {
    assert_eq!(flags & libc::CLONE_VM, 0);
    let flags = i64::from(flags | libc::SIGCHLD);
    // SAFETY: without CLONE_VM the child has its own copy of this stack, as after fork.
    let clone = || unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } as i32;
    child(script, Gate::new(), clone, |_| play())
}

fn child(script: &Script, gate: Gate, make: impl FnOnce() -> i32, play: impl FnOnce(&Gate)) -> Child {
    let (pid, span) = script.span(make);
    if pid == 0 {
        end_with_parent();
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(&gate)));
        // SAFETY: ends the process at once, without the parent's destructors.
        unsafe { libc::_exit(if played.is_ok() { 0 } else { 101 }) }
    }
    assert!(pid > 0, "{}", std::io::Error::last_os_error());
    script.claim(Did::Forked { child: pid as u32 }, span);
    Child::new(pid, By::process(pid as u32), gate, span.before)
}

/// A child that waits for its parent does not outlive it.
fn end_with_parent() {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
}

/// A child holds a copy of the listener, and ends.
pub(crate) fn held_by_child(script: &Script) {
    let listener = script.opens(Plan::at("127.0.0.1:7201"));
    let mut child = fork(script, |gate| gate.pause());
    child.reached();
    script.close(listener.fd);
    script.settle();
    child.go();
    child.ends_with(script, &[Did::Closed(listener.name)]);
    script.settle();
}

/// A listener of a child's, which the child does not close.
fn owned(script: &Script, at: &str, end: impl FnOnce(&mut Child)) -> i32 {
    let bound = Plan::at(at).bind(script);
    let name = script.name(&bound);
    let mut child = fork(script, |gate| {
        script.begins(&bound, name);
        gate.pause();
    });
    child.reached();
    script.close(bound);
    script.settle();
    child.since = now();
    end(&mut child);
    let status = child.ends_with(script, &[Did::Closed(name)]);
    script.settle();
    status
}

/// exit(2) with an open listener.
pub(crate) fn exit(script: &Script) {
    assert_eq!(owned(script, "127.0.0.1:7202", Child::go), 0);
}

/// SIGKILL, twice: by pid, and through a pidfd.
pub(crate) fn killed(script: &Script) {
    let kill = |child: &mut Child| rustix::process::kill_process(child.pid, Signal::KILL).unwrap();
    assert_eq!(owned(script, "127.0.0.1:7203", kill), libc::SIGKILL);
}

pub(crate) fn killed_through_pidfd(script: &Script) {
    let kill = |child: &mut Child| {
        let pidfd = rustix::process::pidfd_open(child.pid, rustix::process::PidfdFlags::empty()).unwrap();
        rustix::process::pidfd_send_signal(&pidfd, Signal::KILL).unwrap();
    };
    assert_eq!(owned(script, "127.0.0.1:7204", kill), libc::SIGKILL);
}

/// Threads open and close ports of their own at the same time, and each other's.
pub(crate) fn threads(script: &Script) {
    let alone = std::sync::Mutex::new(());
    let (from, to) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (alone, from) = (&alone, from.clone());
            let play = move || {
                let plan = Plan::at(&format!("127.0.0.1:{}", 7210 + thread));
                for _ in 0..if script.lockstep { 1 } else { 50 } {
                    let _turn = script.lockstep.then(|| alone.lock().unwrap());
                    let listener = script.opens(plan);
                    script.settle();
                    script.closes(listener);
                }
                let _turn = alone.lock().unwrap();
                from.send(script.opens(plan)).unwrap();
                script.settle();
            };
            std::thread::Builder::new().name(format!("actor-{thread}")).spawn_scoped(scope, play).unwrap();
        }
    });
    drop(from);
    for listener in to {
        script.closes(listener);
    }
}

/// A thread that is not the first ends the process and, with it, a listener.
pub(crate) fn ended_by_thread(script: &Script) {
    let listener = script.opens(Plan::at("127.0.0.1:7220"));
    let mut child = fork(script, |gate| {
        gate.pause();
        std::thread::scope(|scope| {
            // SAFETY: ends the process.
            scope.spawn(|| unsafe { libc::_exit(3) });
            std::thread::park_timeout(std::time::Duration::from_secs(60));
        });
    });
    child.reached();
    script.close(listener.fd);
    script.settle();
    // Whichever thread goes last.
    child.by = By::thread_of(child.by.tgid.unwrap());
    child.go();
    assert_eq!(child.ends_with(script, &[Did::Closed(listener.name)]), 3 << 8);
    script.settle();
}

/// A child by vfork: another program inherits the listener.
pub(crate) fn vfork(script: &Script) {
    inherited(script, "127.0.0.1:7230", |program| {
        extern "C" fn run(program: *mut libc::c_void) -> i32 {
            // SAFETY: the parent waits in clone, and its program lives until then.
            unsafe { &*program.cast::<Program>() }.execute();
            127
        }
        let mut stack = vec![0_u8; 64 << 10];
        let top = stack.as_mut_ptr_range().end;
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: the child has a stack of its own, aligned as the allocation of a multiple of 16 bytes is by clone's
        // wrapper, and this process does not go on before it has executed the program or ended.
        unsafe { libc::clone(run, top.cast(), flags, std::ptr::from_ref(program).cast_mut().cast()) }
    });
}

/// A child by posix_spawn(3).
pub(crate) fn spawned(script: &Script) {
    inherited(script, "127.0.0.1:7231", Program::spawn);
}

/// Another program, made by `start`, inherits a listener, holds it while its parent closes its own, and ends.
fn inherited(script: &Script, at: &str, start: impl FnOnce(&Program) -> i32) {
    let listener = script.opens(Plan::at(at));
    let gate = Gate::new();
    let program = Continuation::new("hold", script).with_gate(gate.fds()).program();
    let (pid, span) = script.span(|| start(&program));
    assert!(pid > 0, "{}", std::io::Error::last_os_error());
    script.claim(Did::Forked { child: pid as u32 }, span);
    let by = By { comm: Some(crate::programs::comm()), ..By::process(pid as u32) };
    let mut child = Child::new(pid, by, gate, span.before);
    child.reached();
    script.close(listener.fd);
    script.settle();
    child.go();
    child.ends_with(script, &[Did::Closed(listener.name)]);
    script.settle();
}

/// The far side of [`inherited`].
pub(crate) fn hold(script: &Script, continuation: &Continuation) {
    end_with_parent();
    script.claim_by(Did::Executed, continuation.since, Some(now()), By::this_thread());
    let (reached, go) = continuation.gate.unwrap();
    // SAFETY: the descriptors were inherited for this.
    let (reached, go) = unsafe { (OwnedFd::from_raw_fd(reached), OwnedFd::from_raw_fd(go)) };
    rustix::io::write(&reached, b".").unwrap();
    assert_eq!(rustix::io::read(&go, &mut [0_u8]), Ok(1));
}
