//! A minipot's process, as its master sees it.

use std::{
    env,
    io::{ErrorKind, Read as _},
    process::{self, ChildStdout, Command, Stdio},
};

use anyhow::Context as _;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, Signal, kill_process},
};
use tracing::debug;

use crate::cli::Minipot;

/// Bytes that one read takes at most: what a pipe holds.
const READ: usize = 65536;
/// Longer reports are no reports.
const LONGEST: usize = 1 << 20;

/// The process and its end of the pipe. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct Child {
    process: process::Child,
    pipe: ChildStdout,
    /// The beginning of a report whose end has not come.
    kept: Vec<u8>,
    ended: bool,
}

impl Child {
    /// Starts this very command line as the minipot.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(minipot: Minipot) -> anyhow::Result<Self> {
        let argument = minipot.argument();
        let mut process = Command::new(env::current_exe()?)
            .args(env::args_os().skip(1))
            .args(["--serve", &argument])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the minipot {argument}"))?;
        debug!("{argument} is process {}", process.id());
        let pipe = process.stdout.take().context("a child's output was to be a pipe")?;
        Ok(Self { process, pipe, kept: Vec::new(), ended: false })
    }

    /// Where its reports come from.
    pub(super) fn pipe(&self) -> &ChildStdout {
        &self.pipe
    }

    /// Whether its end of the pipe is closed: it has ended, or is about to.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Reads once what is there, without waiting; returns the reports that this completes.
    ///
    /// # Errors
    /// When the pipe fails, or carries something else.
    pub(super) fn read(&mut self) -> anyhow::Result<Vec<Vec<u8>>> {
        let mut fds = [PollFd::new(&self.pipe, PollFlags::IN)];
        match poll(&mut fds, Some(&Timespec::default())) {
            // A signal: nothing has been looked at, and nothing is there for now.
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot look into the pipe of a minipot"),
        }
        if self.ended || fds[0].revents().is_empty() {
            return Ok(Vec::new());
        }
        let mut buffer = [0; READ];
        match self.pipe.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(length) => self.kept.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("cannot read from a minipot"),
        }
        reports(&mut self.kept)
    }

    /// Asks it to stop.
    pub(super) fn terminate(&self) {
        // One that is gone already is what we want.
        let _ = kill_process(Pid::from_child(&self.process), Signal::INT);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // One that is gone already is what we want.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Cuts the whole reports off the front of `kept`: 8 bytes of length in the machine's order, then as many bytes.
fn reports(kept: &mut Vec<u8>) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let mut rest = kept.as_slice();
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::from_ne_bytes(*length);
        anyhow::ensure!(length <= LONGEST, "a minipot announces a report of {length} bytes");
        let Some((report, after)) = after.split_at_checked(length) else { break };
        found.push(report.to_vec());
        rest = after;
    }
    *kept = rest.to_vec();
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::reports;

    #[test]
    fn reports_are_cut_wherever_they_are_split() {
        let framed = |report: &[u8]| [&report.len().to_ne_bytes()[..], report].concat();
        let stream = [framed(b"one"), framed(b""), framed(&[7; 300])].concat();
        for at in 0..stream.len() {
            let mut kept = stream[..at].to_vec();
            let mut found = reports(&mut kept).unwrap();
            kept.extend_from_slice(&stream[at..]);
            found.extend(reports(&mut kept).unwrap());
            assert_eq!(found, [b"one".to_vec(), Vec::new(), vec![7; 300]], "split at {at}");
            assert!(kept.is_empty());
        }
        assert!(reports(&mut vec![0xff; 8]).is_err());
    }
}
