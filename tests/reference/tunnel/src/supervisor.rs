//! A parent process that starts the server again whenever that ends itself with [`RESTART`].

use std::{env, process::ExitStatus, time::Duration};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::sleep,
};
use tracing::{info, warn};

/// Exit code of a server that wants to be started again.
pub(crate) const RESTART: i32 = 4;
/// For how long the ports of a server that ended stay closed.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs the server of this very command line as a child until `stop` or until it ends otherwise. Must be called in the main thread:
/// the kernel ties the child to it.
///
/// # Errors
/// When the child cannot be started or fails by itself.
pub(crate) async fn run(stop: impl Future<Output = &'static str>) -> anyhow::Result<&'static str> {
    let mut stop = std::pin::pin!(stop);
    loop {
        let mut child = start().context("cannot start the server as a child")?;
        tokio::select! {
            status = child.wait() => {
                let status = status?;
                if status.code() != Some(RESTART) {
                    return stopped(status);
                }
                warn!("fault dies-and-restarts: the server ended, it starts again in {PAUSE:?}");
            }
            name = &mut stop => {
                end(&mut child).await?;
                return Ok(name);
            }
        }
        tokio::select! {
            () = sleep(PAUSE) => {}
            name = &mut stop => return Ok(name),
        }
    }
}

fn start() -> std::io::Result<Child> {
    let own = std::process::id().to_string();
    let child = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .args(["--supervised-by", &own])
        .kill_on_drop(true)
        .spawn()?;
    info!("the server is process {}", child.id().unwrap_or_default());
    Ok(child)
}

/// What asks a whole process group to stop reaches the child too: it may have stopped before us.
fn stopped(status: ExitStatus) -> anyhow::Result<&'static str> {
    anyhow::ensure!(status.success(), "the server ended with {status}");
    Ok("the server's end")
}

async fn end(child: &mut Child) -> anyhow::Result<()> {
    if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
        let _ = kill_process(pid, Signal::TERM);
    }
    child.wait().await.context("cannot wait for the server")?;
    Ok(())
}
