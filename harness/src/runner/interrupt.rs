//! Ctrl-C and SIGTERM: the first ends the run in order, the second at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::exit_code::Exit;
use crate::sut;

/// Tells whether the run was interrupted; cheap to clone.
#[derive(Clone)]
pub struct Interrupt {
    came: watch::Receiver<bool>,
}

impl Interrupt {
    /// Listens for SIGINT and SIGTERM from now on. A second signal kills the system under test and exits with 130.
    pub fn listen() -> std::io::Result<Self> {
        let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (tell, came) = watch::channel(false);
        tokio::spawn(async move {
            for count in 1.. {
                tokio::select! {
                    _ = int.recv() => {}
                    _ = term.recv() => {}
                }
                if count > 1 {
                    sut::kill_all();
                    std::process::exit(i32::from(Exit::Interrupted as u8));
                }
                eprintln!("interrupted: stopping the system and saving what was recorded (again to stop at once)");
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
