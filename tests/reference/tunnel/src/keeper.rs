//! A child process that holds a duplicate of a listener: what keeps a port open when its owner has closed it.

use std::{
    env, io,
    os::fd::AsFd as _,
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, getppid, pidfd_getfd, pidfd_open};
use tokio::net::TcpListener;

/// The child's descriptor of the listener: its standard input.
const HELD: i32 = 0;

/// The child process. It accepts nothing, and dies with the thread that started it.
#[derive(Debug)]
pub(crate) struct Keeper {
    child: Child,
}

impl Keeper {
    /// Starts this program as the keeper of `listener`. Must be called in the main thread: the kernel ties the child to it.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub(crate) fn start(listener: &TcpListener) -> io::Result<Self> {
        let held = listener.as_fd().try_clone_to_owned()?;
        let child = Command::new(env::current_exe()?)
            .args(["hold", "--parent", &std::process::id().to_string()])
            .stdin(held)
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { child })
    }

    /// The listener again, as the child has held it all the time.
    ///
    /// # Errors
    /// When the child is gone, or the kernel refuses its descriptor (it needs Linux 5.6).
    pub(crate) fn listener(&self) -> io::Result<TcpListener> {
        let child = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty())?;
        let held = pidfd_getfd(child, HELD, PidfdGetfdFlags::empty())?;
        TcpListener::from_std(held.into())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // A child that is gone already is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes this process die with `parent`, which started it.
///
/// # Errors
/// When the parent is dead already.
pub(crate) fn die_with(parent: u32) -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .context("cannot ask to die with the parent")?;
    // It may have died before that was asked for.
    let is_there = getppid().is_some_and(|pid| pid.as_raw_nonzero().get().cast_unsigned() == parent);
    anyhow::ensure!(is_there, "process {parent} is not the parent of this one, or dead");
    Ok(())
}
