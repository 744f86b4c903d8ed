//! Ctrl-C, SIGTERM and SIGHUP: the first ends the run in order, the second at once.

use std::io::Write;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::exit_code::Exit;
use crate::sut;

/// Tells whether the run was interrupted; cheap to clone.
#[derive(Clone)]
pub struct Interrupt {
    came: watch::Receiver<bool>,
}

impl Interrupt {
    /// Listens for SIGINT, SIGTERM and SIGHUP from now on. A second signal kills the system under test and exits with 130.
    /// A SIGHUP that is ignored already (nohup(1)) stays so.
    pub fn listen() -> std::io::Result<Self> {
        let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut hup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
        let (tell, came) = watch::channel(false);
        tokio::spawn(async move {
            for count in 1.. {
                tokio::select! {
                    _ = int.recv() => {}
                    _ = term.recv() => {}
                    () = hangup(&mut hup) => {}
                }
                if count > 1 {
                    sut::kill_all();
                    std::process::exit(i32::from(Exit::Interrupted as u8));
                }
                let said = "interrupted: stopping the system and saving what was recorded (again to stop at once)";
                // Standard error may have gone with the terminal.
                let _ = writeln!(std::io::stderr(), "{said}");
                // Without a receiver the run is over.
                let _ = tell.send(true);
            }
        });
        Ok(Self { came })
    }

    /// Never interrupted: for runs inside other programs.
    pub fn never() -> Self {
        let (tell, came) = watch::channel(false);
        // The sender must live as long as anyone may wait.
        std::mem::forget(tell);
        Self { came }
    }

    /// Whether it came.
    pub fn came(&self) -> bool {
        *self.came.borrow()
    }

    /// Returns when it comes.
    pub async fn wait(&mut self) {
        if self.came.wait_for(|came| *came).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn hangup(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Reads `SigIgn` of proc_pid_status(5): a mask in hex, whose lowest bit is signal 1.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
