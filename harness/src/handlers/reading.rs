//! Reading replies: a buffer of what has come, and frames that are cut from it.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::connection::{Connection, is_reset};
use super::session::place;
use super::{Failure, shown};
use crate::history::{ConnectionEnd, HandlerStep};

/// What has come and was not read yet.
#[derive(Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    ended: Option<ConnectionEnd>,
}

/// Where a frame ends in what has come so far.
pub(super) enum Cut {
    /// After so many bytes.
    At(usize),
    /// Not yet.
    More,
    /// It cannot become what is expected any more.
    Never,
}

/// Why no frame was read.
enum Missing {
    Ended(ConnectionEnd),
    Timeout(Duration),
    Never,
}

/// A frame is as long as this at the most: the buffer is bounded.
const LONGEST: usize = 16 << 20;

impl Connection {
    /// Reads exactly these bytes; fails at the first that differs.
    #[track_caller]
    pub fn expect(&mut self, literal: &[u8]) -> Result<(), Failure> {
        let place = self.here(place());
        self.expect_at(literal, self.wait, place)
    }

    pub(super) fn expect_at(&mut self, literal: &[u8], wait: Duration, place: String) -> Result<(), Failure> {
        let cut = |bytes: &[u8]| {
            let common = bytes.len().min(literal.len());
            match bytes[..common] == literal[..common] {
                false => Cut::Never,
                true if bytes.len() >= literal.len() => Cut::At(literal.len()),
                true => Cut::More,
            }
        };
        self.frame(wait, place, || format!("\"{}\"", shown(literal)), cut).map(drop)
    }

    /// Reads a line, which must end with CR LF, and gives it without these.
    #[track_caller]
    pub fn line(&mut self) -> Result<Vec<u8>, Failure> {
        let place = self.here(place());
        self.line_at(self.wait, place, "a line that ends with CR LF".into())
    }

    pub(super) fn line_at(&mut self, wait: Duration, place: String, expected: String) -> Result<Vec<u8>, Failure> {
        let line = self.frame(
            wait,
            place,
            || expected.clone(),
            |bytes| match bytes.iter().position(|byte| *byte == b'\n') {
                Some(at) if at > 0 && bytes[at - 1] == b'\r' => Cut::At(at + 1),
                Some(_) => Cut::Never,
                None => Cut::More,
            },
        )?;
        Ok(line[..line.len() - 2].to_vec())
    }

    /// Reads until these bytes, and gives what comes before them.
    #[track_caller]
    pub fn until(&mut self, end: &[u8]) -> Result<Vec<u8>, Failure> {
        let place = self.here(place());
        self.until_at(end, self.wait, place)
    }

    pub(super) fn until_at(&mut self, end: &[u8], wait: Duration, place: String) -> Result<Vec<u8>, Failure> {
        let frame = self.frame(
            wait,
            place,
            || format!("bytes until \"{}\"", shown(end)),
            |bytes| match bytes.windows(end.len().max(1)).position(|window| window == end) {
                Some(at) => Cut::At(at + end.len()),
                None => Cut::More,
            },
        )?;
        Ok(frame[..frame.len() - end.len()].to_vec())
    }

    /// Reads so many bytes.
    #[track_caller]
    pub fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Failure> {
        let place = self.here(place());
        self.exactly_at(length, self.wait, place)
    }

    pub(super) fn exactly_at(&mut self, length: usize, wait: Duration, place: String) -> Result<Vec<u8>, Failure> {
        let cut = |bytes: &[u8]| if bytes.len() >= length { Cut::At(length) } else { Cut::More };
        self.frame(wait, place, || format!("{length} bytes"), cut)
    }

    /// The system closes the connection, by EOF or reset, and sends nothing before that.
    #[track_caller]
    pub fn expect_close(&mut self) -> Result<ConnectionEnd, Failure> {
        let place = self.here(place());
        self.close_at(self.wait, place)
    }

    pub(super) fn close_at(&mut self, wait: Duration, place: String) -> Result<ConnectionEnd, Failure> {
        let expected = || "the system to close the connection".to_owned();
        match self.read(wait, |bytes| if bytes.is_empty() { Cut::More } else { Cut::Never }) {
            Err(Missing::Ended(how)) => {
                self.end(how);
                Ok(how)
            }
            Err(missing) => Err(self.wrong(place, expected(), missing)),
            Ok(bytes) => {
                Err(Failure::Wrong { place, expected: expected(), seen: format!("\"{}\" came", shown(&bytes)) })
            }
        }
    }

    /// Nothing comes for this long, and the connection stays open.
    #[track_caller]
    pub fn silence(&mut self, lasting: Duration) -> Result<(), Failure> {
        let place = self.here(place());
        match self.read(lasting, |bytes| if bytes.is_empty() { Cut::More } else { Cut::Never }) {
            Err(Missing::Timeout(_)) => Ok(()),
            Err(missing) => Err(self.wrong(place, format!("nothing to come for {} ms", lasting.as_millis()), missing)),
            Ok(_) => Ok(()),
        }
    }

    /// Reads a frame within `wait`; it is told when it has come.
    pub(super) fn frame(
        &mut self,
        wait: Duration,
        place: String,
        expected: impl Fn() -> String,
        cut: impl Fn(&[u8]) -> Cut,
    ) -> Result<Vec<u8>, Failure> {
        match self.read(wait, cut) {
            Ok(frame) => {
                let (connection, bytes) = (self.number, frame.len() as u64);
                self.tell.now(HandlerStep::Received { connection, bytes, head: shown(&frame) });
                Ok(frame)
            }
            Err(missing) => Err(self.wrong(place, expected(), missing)),
        }
    }

    fn wrong(&mut self, place: String, expected: String, missing: Missing) -> Failure {
        let come = match self.inbox.bytes.is_empty() {
            true => "nothing came".to_owned(),
            false => format!("\"{}\" came", shown(&self.inbox.bytes)),
        };
        let seen = match missing {
            Missing::Never => come,
            Missing::Ended(how) => {
                self.end(how);
                let ended = if how == ConnectionEnd::Reset { "reset" } else { "closed" };
                format!("{come}, and the system {ended} the connection")
            }
            Missing::Timeout(after) => format!("{come} within {} ms", after.as_millis()),
        };
        Failure::Wrong { place, expected, seen }
    }

    fn read(&mut self, wait: Duration, cut: impl Fn(&[u8]) -> Cut) -> Result<Vec<u8>, Missing> {
        let deadline = (Instant::now() + wait).min(self.until);
        let mut looked_at = None;
        loop {
            if looked_at != Some(self.inbox.bytes.len()) {
                looked_at = Some(self.inbox.bytes.len());
                match cut(&self.inbox.bytes) {
                    Cut::At(length) => return Ok(self.inbox.bytes.drain(..length).collect()),
                    Cut::Never => return Err(Missing::Never),
                    Cut::More if self.inbox.bytes.len() > LONGEST => return Err(Missing::Never),
                    Cut::More => {}
                }
            }
            if let Some(ended) = self.inbox.ended {
                return Err(Missing::Ended(ended));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Missing::Timeout(wait));
            }
            self.fill(left);
        }
    }

    /// Waits for bytes, or for the end, at the most so long.
    fn fill(&mut self, left: Duration) {
        let mut buffer = [0; 16 << 10];
        // Not by SO_RCVTIMEO: the kernel's timer wheel (kernel/time/timer.c, 6.18) fires a timeout of minutes up to 12.5 % late;
        // poll(2) is at the most 0.1 s late (fs/select.c).
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let ready = poll(&mut [PollFd::new(self.stream(), PollFlags::IN)], Some(&timeout));
        if !matches!(ready, Ok(1..)) {
            return;
        }
        match self.stream().read(&mut buffer) {
            Ok(0) => self.inbox.ended = Some(ConnectionEnd::Eof),
            Ok(length) => self.inbox.bytes.extend_from_slice(&buffer[..length]),
            Err(error) if is_reset(&error) => self.inbox.ended = Some(ConnectionEnd::Reset),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            Err(_) => self.inbox.ended = Some(ConnectionEnd::Reset),
        }
    }
}
