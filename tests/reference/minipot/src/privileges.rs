//! Who a process is, and with whom it dies.

use std::ffi::CString;

use anyhow::Context as _;
use nix::unistd::{Uid, User, initgroups, setgid, setuid};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tracing::debug;

/// Becomes `user`, for good. Without root this does nothing: a process is then what it can be.
///
/// # Errors
/// When there is no such user, or the kernel refuses.
pub(crate) fn become_user(user: &str) -> anyhow::Result<()> {
    if !Uid::effective().is_root() {
        debug!("not root: staying who we are, not becoming {user}");
        return Ok(());
    }
    let found = User::from_name(user).with_context(|| format!("cannot look up user {user}"))?;
    let found = found.with_context(|| format!("there is no user {user}: choose another with -u"))?;
    if found.uid.is_root() {
        return Ok(());
    }
    let name = CString::new(user).context("a user's name has no NUL")?;
    initgroups(&name, found.gid)
        .and_then(|()| setgid(found.gid))
        .and_then(|()| setuid(found.uid))
        .with_context(|| format!("cannot become user {user}"))
}

/// Makes this process die with its parent. A change of user undoes that, so it comes after.
///
/// # Errors
/// When the parent is dead already.
pub(crate) fn die_with_parent() -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot ask to die with the master")?;
    anyhow::ensure!(getppid().is_some_and(|parent| !parent.is_init()), "the master is dead");
    Ok(())
}
