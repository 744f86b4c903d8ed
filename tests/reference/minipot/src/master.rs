//! The master: starts a process for each minipot, and forwards what they report to the proxy.

mod child;
mod proxy;

use std::{
    os::unix::net::UnixStream,
    process::ExitCode,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags};
use tracing::{info, warn};

use self::{
    child::Child,
    proxy::{Proxy, Undelivered},
};
use crate::{
    cli::Cli,
    fault::{Fault, Faults},
    minipot::wait,
    privileges, signals,
};

/// Exit code when the proxy takes nothing any more.
const UNDELIVERED: u8 = 6;
/// How long minipots may take to end, before they are killed.
const GRACE: Duration = Duration::from_secs(2);

/// Runs until asked to stop, until a minipot ends, or until a report cannot be delivered.
///
/// # Errors
/// When a minipot cannot be started, or ZeroMQ refuses the socket.
pub(crate) fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let faults = cli.faults();
    let stop = signals::stop_requested(faults)?;
    let mut children = Vec::new();
    for minipot in cli.minipots()? {
        children.push(Child::start(minipot)?);
    }
    privileges::become_user(&cli.user)?;
    let proxy = Proxy::connect(&cli.socket(), &cli.topic, faults)?;
    let mut master = Master { children, proxy, faults, waiting: Vec::new() };
    match master.run(&stop)? {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(Undelivered) => {
            warn!("the proxy takes no reports: giving up");
            master.proxy.abandon()?;
            Ok(if faults.has(Fault::WrongExitCode) { ExitCode::FAILURE } else { ExitCode::from(UNDELIVERED) })
        }
    }
}

struct Master {
    children: Vec<Child>,
    proxy: Proxy,
    faults: Faults,
    /// Reports that a fault keeps back, with the time to forward them.
    waiting: Vec<(Instant, Vec<u8>)>,
}

/// Whether the proxy took everything.
type Delivery = Result<(), Undelivered>;

impl Master {
    fn run(&mut self, stop: &UnixStream) -> anyhow::Result<Delivery> {
        if self.proxy.welcome()? == Err(Undelivered) {
            return Ok(Err(Undelivered));
        }
        loop {
            let due = self.waiting.iter().map(|(due, _)| *due).min();
            let asked_to_stop = self.wait(Some(stop), due)?;
            if self.read()? == Err(Undelivered) {
                return Ok(Err(Undelivered));
            }
            let (gone, all) = (self.children.iter().filter(|child| child.ended()).count(), self.children.len());
            if gone > 0 && !asked_to_stop {
                warn!("{gone} of {all} minipots ended");
            }
            let stays = self.faults.has(Fault::OutlivesChild) && gone < all;
            if asked_to_stop || (gone > 0 && !stays) {
                return self.stop();
            }
            self.children.retain(|child| !child.ended());
        }
    }

    /// Waits for a report, a signal or the time; true for a signal.
    fn wait(&self, stop: Option<&UnixStream>, until: Option<Instant>) -> anyhow::Result<bool> {
        let mut fds: Vec<PollFd<'_>> = self
            .children
            .iter()
            .filter(|child| !child.ended())
            .map(|child| PollFd::new(child.pipe(), PollFlags::IN))
            .collect();
        fds.extend(stop.map(|stop| PollFd::new(stop, PollFlags::IN)));
        wait(&mut fds, until)?;
        Ok(stop.is_some() && fds.last().is_some_and(|stop| !stop.revents().is_empty()))
    }

    /// Reads what the minipots have written, and forwards it and what is due.
    fn read(&mut self) -> anyhow::Result<Delivery> {
        let now = Instant::now();
        for child in &mut self.children {
            for report in child.read()? {
                let due = match self.faults.on() {
                    // All reports of a batch share one time.
                    Some(Fault::BatchesReports) => {
                        self.waiting.first().map_or(now + Duration::from_secs(3), |(due, _)| *due)
                    }
                    Some(Fault::DropsAtStop) => now + Duration::from_millis(800),
                    _ => now,
                };
                self.waiting.push((due, report));
            }
        }
        let (due, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(due, _)| *due <= now);
        self.waiting = waiting;
        for (_, report) in due {
            if self.proxy.forward(&report)? == Err(Undelivered) {
                return Ok(Err(Undelivered));
            }
        }
        Ok(Ok(()))
    }

    /// Ends the minipots, and forwards what they have reported until then.
    fn stop(&mut self) -> anyhow::Result<Delivery> {
        info!("stopping");
        for child in &self.children {
            child.terminate();
        }
        let deadline = Instant::now() + GRACE;
        while self.children.iter().any(|child| !child.ended()) && Instant::now() < deadline {
            self.wait(None, Some(deadline))?;
            if self.read()? == Err(Undelivered) {
                return Ok(Err(Undelivered));
            }
        }
        self.children.clear();
        if self.faults.has(Fault::DropsAtStop) {
            self.waiting.clear();
        }
        for (_, report) in std::mem::take(&mut self.waiting) {
            if self.proxy.forward(&report)? == Err(Undelivered) {
                return Ok(Err(Undelivered));
            }
        }
        Ok(Ok(()))
    }
}
