//! What a process writes to its standard output and error: kept in a file of bounded size, and never at its expense.
//!
//! The process writes into a pipe, which a thread of ours empties whether or not there is room in the file: a full disk
//! neither stops the process nor shows it an error.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::wait;

/// The end of a log that outgrew its file, in bytes: the last words of a process say most.
const LAST: usize = 64 << 10;

/// Bytes that the pipe takes while the thread waits for a CPU: what an unprivileged user may ask for (pipe(7)).
const PIPE: usize = 1 << 20;

/// Bytes that are read at a time.
const CHUNK: usize = 64 << 10;

/// A log that is being written.
pub(super) struct Log {
    path: PathBuf,
    limit: u64,
    shared: Arc<Shared>,
    copier: Option<JoinHandle<()>>,
}

struct Shared {
    pipe: OwnedFd,
    stop: OwnedFd,
    kept: Mutex<Kept>,
}

struct Kept {
    file: File,
    /// Bytes that the file may still take.
    room: u64,
    /// The last bytes that the file did not take.
    last: VecDeque<u8>,
    /// Bytes that are nowhere any more.
    dropped: u64,
    /// Why the file takes nothing more, beside its bound.
    failed: Option<io::Error>,
}

impl Log {
    /// Opens a log, which goes on where an earlier one of that name ended, and at most to `limit` bytes. The descriptor is
    /// what the process writes to.
    pub(super) fn open(path: &Path, limit: u64) -> io::Result<(Self, OwnedFd)> {
        let file = File::options().create(true).append(true).open(path)?;
        let room = limit.saturating_sub(file.metadata()?.len());
        let (pipe, writes) = pipe_with(PipeFlags::CLOEXEC)?;
        // Each end has flags of its own; the process finds what it expects of a descriptor.
        fcntl_setfl(&pipe, fcntl_getfl(&pipe)? | OFlags::NONBLOCK)?;
        // A user who has many pipes gets smaller ones, which do as well.
        let _ = fcntl_setpipe_size(&pipe, PIPE);
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let kept = Kept { file, room, last: VecDeque::new(), dropped: 0, failed: None };
        let shared = Arc::new(Shared { pipe, stop, kept: Mutex::new(kept) });
        let copies = Arc::clone(&shared);
        let copier = std::thread::Builder::new().name("sut-log".into()).spawn(move || copies.copy())?;
        Ok((Self { path: path.into(), limit, shared, copier: Some(copier) }, writes))
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The last lines of what was written until now.
    pub(super) fn tail(&self) -> String {
        let mut kept = self.shared.kept();
        kept.pull(&self.shared.pipe);
        let last = kept.last.make_contiguous();
        if last.is_empty() {
            return wait::tail(&self.path);
        }
        // Between the file and a shorter end nothing is missing.
        let mut end = if last.len() < LAST { wait::end(&self.path).unwrap_or_default() } else { Vec::new() };
        end.extend_from_slice(last);
        wait::lines(&end[end.len().saturating_sub(wait::TAIL)..])
    }

    /// Takes in what was written until now, and nothing more; says how much is missing, if anything is.
    pub(super) fn close(&mut self) -> Option<String> {
        let copier = self.copier.take()?;
        // Only a counter at its maximum refuses.
        let _ = rustix::io::write(&self.shared.stop, &1_u64.to_ne_bytes());
        let _ = copier.join();
        let mut kept = self.shared.kept();
        kept.pull(&self.shared.pipe);
        kept.end(&self.path, self.limit)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// Empties the pipe until every writer has closed it, or the log is closed.
    fn copy(&self) {
        loop {
            let mut watched = [PollFd::new(&self.pipe, PollFlags::IN), PollFd::new(&self.stop, PollFlags::IN)];
            match poll(&mut watched, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            if !watched[1].revents().is_empty() || self.kept().pull(&self.pipe) == Pulled::End {
                return;
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(PartialEq, Eq)]
enum Pulled {
    /// There may be more.
    Some,
    /// Nobody can write any more.
    End,
}

impl Kept {
    /// Reads what a pipe can hold, at the most: a process that never ceases to write must not keep us here.
    fn pull(&mut self, pipe: &OwnedFd) -> Pulled {
        let mut chunk = [0; CHUNK];
        for _ in 0..PIPE / CHUNK {
            match rustix::io::read(pipe, &mut chunk) {
                Ok(0) => return Pulled::End,
                Ok(length) => self.take(&chunk[..length]),
                Err(Errno::INTR) => {}
                Err(_) => return Pulled::Some,
            }
        }
        Pulled::Some
    }

    fn take(&mut self, bytes: &[u8]) {
        let fits = bytes.len().min(usize::try_from(self.room).unwrap_or(usize::MAX));
        let (head, rest) = bytes.split_at(fits);
        let (written, failed) = write(&mut self.file, head);
        self.room -= written as u64;
        if failed.is_some() {
            // The file ends here, even if there should be space later: it has no gaps.
            (self.room, self.failed) = (0, failed);
        }
        for rest in [&head[written..], rest] {
            // What would not stay is not even copied.
            let stays = &rest[rest.len().saturating_sub(LAST)..];
            let gone = (self.last.len() + stays.len()).saturating_sub(LAST);
            self.last.drain(..gone);
            self.last.extend(stays);
            self.dropped += (gone + rest.len() - stays.len()) as u64;
        }
    }

    /// Writes the last words after a note of what is missing before them.
    fn end(&mut self, path: &Path, limit: u64) -> Option<String> {
        if self.last.is_empty() {
            return None;
        }
        let path = path.display();
        let why = match &self.failed {
            Some(error) => format!("it could not be written: {error}; free some space or use `--runs DIR`"),
            None => {
                format!("it is bounded to {limit} bytes, `log_limit_bytes` of the process in the profile sets another")
            }
        };
        let last = std::mem::take(&mut self.last);
        let dropped = self.dropped;
        let mut end = match dropped {
            0 => Vec::new(),
            dropped => format!("\n[portwitness: {dropped} bytes are missing here: {why}]\n").into_bytes(),
        };
        end.extend(last);
        let missing = match write(&mut self.file, &end) {
            (_, None) => dropped,
            // Whatever of the end was written, the note is not to be relied on.
            (_, Some(_)) => dropped + end.len() as u64,
        };
        (missing > 0).then(|| format!("{missing} bytes are missing in the log {path}: {why}"))
    }
}

/// How many bytes went into the file, and why not all.
fn write(file: &mut File, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
            Ok(length) => written += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Some(error)),
        }
    }
    (written, None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A log of 1000 bytes into which this was written, its file, and what closing it said.
    fn written(bytes: &[u8]) -> (Vec<u8>, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.log");
        let (mut log, writes) = Log::open(&path, 1000).unwrap();
        File::from(writes).write_all(bytes).unwrap();
        let said = log.close();
        (std::fs::read(&path).unwrap(), said)
    }

    #[test]
    fn a_log_within_its_bound_is_kept_whole() {
        assert_eq!(written(&[b'x'; 1000]), (vec![b'x'; 1000], None));
        assert_eq!(written(b""), (Vec::new(), None));
        let (kept, said) = written(&[b'x'; 1000 + LAST]);
        assert!(kept == [b'x'; 1000 + LAST] && said.is_none(), "what fits the end is not missing");
    }

    #[test]
    fn beginning_and_end_of_a_longer_one_are_kept_and_what_is_missing_is_counted() {
        let mut bytes: Vec<u8> = (0..3_000_000).map(|at: u32| (at % 251) as u8).collect();
        bytes[..1000].fill(b'h');
        let (kept, said) = written(&bytes);
        let missing = bytes.len() - 1000 - LAST;
        assert!(said.unwrap().starts_with(&format!("{missing} bytes are missing in the log ")));
        assert!(kept.starts_with(&[b'h'; 1000]) && kept.ends_with(&bytes[bytes.len() - LAST..]));
        let note = String::from_utf8(kept[1000..kept.len() - LAST].to_vec()).unwrap();
        assert!(note.contains(&format!("{missing} bytes are missing here: it is bounded to 1000 bytes")), "{note}");
    }

    #[test]
    fn a_second_log_goes_on_within_the_same_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.log");
        for count in 1..=3 {
            let (mut log, writes) = Log::open(&path, 10).unwrap();
            File::from(writes).write_all(b"seven..").unwrap();
            assert_eq!((log.tail(), log.close()), (format!("  {}", "seven..".repeat(count)), None));
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"seven..".repeat(3));
    }

    #[test]
    fn a_full_disk_costs_the_log_and_not_the_writer() {
        // Every write to it fails: no space left on device (full(4)).
        let (mut log, writes) = Log::open(Path::new("/dev/full"), 1000).unwrap();
        File::from(writes).write_all(&vec![b'x'; 3_000_000]).unwrap();
        assert!(log.tail().contains("xxx"));
        let said = log.close().unwrap();
        assert!(said.contains("/dev/full") && said.contains("free some space"), "{said}");
    }

    #[test]
    fn a_writer_that_stays_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, writes) = Log::open(&folder.path().join("p.log"), 1000).unwrap();
        assert_eq!(log.close(), None);
        drop(writes);
    }
}
