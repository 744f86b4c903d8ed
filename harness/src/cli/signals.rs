//! SIGINT, SIGTERM, SIGHUP and SIGCHLD, taken when it suits: they are blocked, and asked for.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::sut::guardian;

/// The signals of this process, from now on. One that is ignored already (nohup(1)) stays so.
pub(super) struct Signals {
    held: libc::sigset_t,
    inherited: libc::sigset_t,
}

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// A child ended.
    Child,
    /// From the terminal: every process of the foreground has got it.
    FromTerminal(Signal),
    /// From another process, to this one alone.
    Sent(Signal),
}

impl Signals {
    /// Holds them back in this thread and in those that it starts from now on.
    pub(super) fn hold() -> io::Result<Self> {
        let mut held = MaybeUninit::uninit();
        let mut inherited = MaybeUninit::uninit();
        // SAFETY: each call fills or reads a set that is there; sigemptyset makes `held` whole, pthread_sigmask `inherited`.
        unsafe {
            libc::sigemptyset(held.as_mut_ptr());
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGCHLD] {
                libc::sigaddset(held.as_mut_ptr(), signal);
            }
            match libc::pthread_sigmask(libc::SIG_BLOCK, held.as_ptr(), inherited.as_mut_ptr()) {
                0 => Ok(Self { held: held.assume_init(), inherited: inherited.assume_init() }),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }
    }

    /// The next one, or none within `time`.
    pub(super) fn wait(&self, time: Duration) -> Option<Came> {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        let time = libc::timespec {
            tv_sec: time.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(time.subsec_nanos() as i32),
        };
        // SAFETY: the set and the time outlive the call, and `info` has room for what it writes.
        let signal = unsafe { libc::sigtimedwait(&self.held, info.as_mut_ptr(), &time) };
        // SAFETY: zeros are a valid siginfo_t, of integers, and the call has filled it in when it returned a signal.
        let info = unsafe { info.assume_init() };
        match signal {
            libc::SIGCHLD => Some(Came::Child),
            signal if signal > 0 => {
                let signal = Signal::from_named_raw(signal)?;
                // sigaction(2): the terminal's driver sends as the kernel.
                let terminal = info.si_code == libc::SI_KERNEL;
                Some(if terminal { Came::FromTerminal(signal) } else { Came::Sent(signal) })
            }
            _ => None,
        }
    }

    /// Starts a child that gets its signals as this process did.
    pub(super) fn spawn_free(&self, command: &mut Command) -> io::Result<Child> {
        let inherited = self.inherited;
        // SAFETY: between fork and exec the closure makes a system call, and touches no memory that another thread could
        // hold a lock on.
        unsafe {
            command.pre_exec(move || {
                match libc::pthread_sigmask(libc::SIG_SETMASK, &inherited, std::ptr::null_mut()) {
                    0 => Ok(()),
                    error => Err(io::Error::from_raw_os_error(error)),
                }
            });
        }
        command.spawn()
    }

    /// Likewise, and when this process dies without a word it gets SIGTERM, and carries the mark by which a guardian finds
    /// it and what it spawned.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        command.env(guardian::MARK, guardian::mark());
        let parent = rustix::process::getpid();
        // SAFETY: likewise, with two system calls.
        unsafe {
            command.pre_exec(move || {
                rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
                if rustix::process::getppid() != Some(parent) {
                    return Err(io::Error::from(rustix::io::Errno::SRCH));
                }
                Ok(())
            });
        }
        self.spawn_free(command)
    }
}

/// Sends a signal to a child that was not waited for yet: its number is its own.
pub(super) fn send(child: &Child, signal: Signal) {
    if let Some(pid) = Pid::from_raw(child.id() as i32) {
        // One that ended a moment ago needs no signal.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// `exit code 3`, `signal 9`.
pub(super) fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "ended".into(),
    }
}

/// As shells have it: the exit code, or 128 and the signal.
pub(super) fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
