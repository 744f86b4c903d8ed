//! The reading thread of an observer: it is woken, takes orders, answers fences, and never dies unnoticed.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::time::Timespec;

use super::ObserverError;
use super::fence::{Awaited, Fenced, Fences, TakesSentinels};
use super::monitor::Monitor;
use crate::history::{Event, ObserverChange, Recorder, Source};

/// What reads for an observer.
pub(super) trait Reads: Sized + 'static {
    /// What the observer is told of it.
    type Told: Copy + Default + Send;

    /// The observer.
    const OBSERVER: &'static str;
    /// It again, in the history.
    const SOURCE: Source;
    /// What it is, in messages.
    const WHAT: &'static str;
    /// It looks this often by itself.
    const EVERY: Duration;

    /// Reads what was there at the call, and appends it to the history; tells of sentinels that came back.
    fn round(&mut self, control: &Control<Self::Told>) -> io::Result<()>;

    /// Reads what is left, as the observer ends.
    fn last_round(&mut self, control: &Control<Self::Told>) -> io::Result<()>;

    /// What wakes it when there is much to read.
    fn readable(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// What the thread is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// To read.
    #[default]
    Run,
    /// To leave everything unread.
    Pause,
    /// To read once more, and to end.
    Stop,
    /// To fail; for tests.
    Fail,
    /// To panic; for tests.
    Panic,
}

/// What an observer and its reading thread share.
pub(super) struct Control<T> {
    wake: OwnedFd,
    state: Monitor<State<T>>,
}

#[derive(Default)]
struct State<T> {
    order: Order,
    /// The thread has seen that it is to pause, and has left what it reads.
    paused: bool,
    awaited: Awaited,
    told: T,
    dead: Option<String>,
}

impl<T: Copy + Default> Control<T> {
    fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { wake, state: Monitor::default() })
    }

    /// Tells the observer.
    pub(super) fn tell(&self, told: T) {
        self.state.change(|state| state.told = told);
    }

    /// The fence that is waited for, unless its sentinels have all come back.
    pub(super) fn pending(&self) -> Option<Awaited> {
        self.state.look(|state| (!state.awaited.is_complete()).then(|| state.awaited.clone()))
    }

    fn give(&self, order: Order) {
        self.state.change(|state| (state.order, state.paused) = (order, false));
        self.hurry();
    }

    fn death(&self) -> Option<String> {
        self.state.look(|state| state.dead.clone())
    }

    /// Until it is woken, what it reads wakes it, or the time is up.
    fn sleep(&self, time: Duration, readable: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        let woken = PollFd::new(&self.wake, PollFlags::IN);
        let polled = match readable {
            Some(readable) => poll(&mut [woken, PollFd::from_borrowed_fd(readable, PollFlags::IN)], Some(&time)),
            None => poll(&mut [woken], Some(&time)),
        };
        match polled {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // Nothing to read means that nobody woke it.
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        Ok(())
    }
}

impl<T: Copy + Default> TakesSentinels for Control<T> {
    fn awaited<R>(&self, change: impl FnOnce(&mut Awaited) -> R) -> R {
        self.state.change(|state| change(&mut state.awaited))
    }

    fn hurry(&self) {
        // Only a counter at its maximum refuses, and then the thread is awake.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    fn wait(&self, time: Duration) -> Result<(), String> {
        self.state.wait(time, |state| state.dead.is_some() || state.awaited.is_complete());
        self.death().map_or(Ok(()), Err)
    }
}

/// The reading thread, seen by its observer, and the fences that it answers.
pub(super) struct ReadingThread<R: Reads> {
    name: String,
    recorder: Recorder,
    control: Arc<Control<R::Told>>,
    thread: Option<JoinHandle<()>>,
    fences: Option<Fences>,
    /// The number of the last fence.
    number: u64,
}

impl<R: Reads> ReadingThread<R> {
    /// Starts the thread, has `open` make what reads in it, and waits for that; returns what `open` says beside, of which
    /// the first is the observer's name. From then on the thread reads until it is told to stop; any other end is recorded
    /// as the observer's death.
    pub(super) fn start<S: Send + 'static>(
        recorder: Recorder,
        fences: Fences,
        open: impl FnOnce() -> Result<(R, String, S), ObserverError> + Send + 'static,
    ) -> Result<(Self, S), ObserverError> {
        let control = Arc::new(Control::new().map_err(io::<R>("make an eventfd"))?);
        let (tell, told) = channel();
        let (of_thread, records) = (Arc::clone(&control), recorder.clone());
        let thread = std::thread::Builder::new().name(format!("{}-reader", R::OBSERVER)).spawn(move || match open() {
            Ok((reader, name, beside)) => {
                if tell.send(Ok((name, beside))).is_ok() {
                    read(reader, &of_thread, &records);
                }
            }
            Err(error) => drop(tell.send(Err(error))),
        });
        let thread = Some(thread.map_err(io::<R>("start the reader's thread"))?);
        let (name, beside) = told.recv().map_err(|_| ObserverError::Died {
            observer: R::OBSERVER.into(),
            reason: "its reader ended at once".into(),
        })??;
        Ok((Self { name, recorder, control, thread, fences: Some(fences), number: 0 }, beside))
    }

    /// The observer's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What the reader told last.
    pub(super) fn told(&self) -> R::Told {
        self.control.state.look(|state| state.told)
    }

    /// An error says why the reader is dead, if it is.
    pub(super) fn alive(&self) -> Result<(), ObserverError> {
        self.control.death().map_or(Ok(()), |reason| Err(self.died(reason)))
    }

    /// Provokes the sentinels of a fence, and waits for them; [`Self::fenced`] records how that ended.
    pub(super) fn fence(&mut self) -> Result<Fenced, ObserverError> {
        self.alive()?;
        let Some(fences) = &self.fences else { return Err(self.died("it was stopped")) };
        self.number += 1;
        let fenced = fences.fence(self.number, &*self.control).map_err(io::<R>("provoke a sentinel"))?;
        match fenced.ended {
            Some(reason) => Err(self.died(reason)),
            None => Ok(fenced),
        }
    }

    /// Records a fence; an error when not all sentinels came back.
    pub(super) fn fenced(&self, fenced: &Fenced) -> Result<(), ObserverError> {
        let &Fenced { began, cpus, seen, within, .. } = fenced;
        self.recorder.record(R::SOURCE, Event::Fence { began, cpus, seen });
        if seen < cpus {
            return Err(self.died(format!("{seen} of {cpus} sentinels came back within {within:?}")));
        }
        Ok(())
    }

    /// Lets the sentinel of one CPU come and go.
    pub(super) fn provoke_one(&self, within: Duration) -> io::Result<()> {
        match (&self.fences, super::fence::cpus()?.first()) {
            (Some(fences), Some(cpu)) => fences.provoke(self.number, &[*cpu], within),
            _ => Ok(()),
        }
    }

    /// Gives an order. On return a thread that is to pause has left what it reads.
    pub(super) fn give(&self, order: Order) {
        self.control.give(order);
        if order == Order::Pause {
            // Without a deadline: it does, or is dead.
            while !self.control.state.wait(Duration::MAX, |state| state.paused || state.dead.is_some()) {}
        }
    }

    /// Has it read once more and end, with the thread of the sentinels; waits for that.
    pub(super) fn end(&mut self) {
        self.control.give(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.fences = None;
    }

    fn died(&self, reason: impl Into<String>) -> ObserverError {
        ObserverError::Died { observer: self.name.clone(), reason: reason.into() }
    }
}

impl<R: Reads> Drop for ReadingThread<R> {
    fn drop(&mut self) {
        self.end();
    }
}

fn read<R: Reads>(mut reader: R, control: &Control<R::Told>, recorder: &Recorder) {
    let (observer, what) = (R::OBSERVER, R::WHAT);
    let reason = match catch_unwind(AssertUnwindSafe(|| rounds(&mut reader, control))) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => format!("{what} failed: {error}"),
        Err(_) => format!("{what} panicked"),
    };
    tracing::error!("the {observer} observer died: {reason}");
    recorder.record(R::SOURCE, Event::Observer(ObserverChange::Died { reason: reason.clone() }));
    control.state.change(|state| state.dead = Some(reason));
}

fn rounds<R: Reads>(reader: &mut R, control: &Control<R::Told>) -> io::Result<()> {
    loop {
        let order = control.state.look(|state| state.order);
        match order {
            Order::Run => reader.round(control)?,
            Order::Pause => control.state.change(|state| state.paused = state.order == Order::Pause),
            Order::Stop => return reader.last_round(control),
            Order::Fail => return Err(io::Error::other("it was told to fail")),
            Order::Panic => panic!("it was told to panic"),
        }
        // A paused reader does not look at what wakes it, or it would spin on what it does not read.
        control.sleep(R::EVERY, reader.readable().filter(|_| order != Order::Pause))?;
    }
}

fn io<R: Reads>(doing: &'static str) -> impl FnOnce(io::Error) -> ObserverError {
    move |source| ObserverError::Io { doing: format!("{}: could not {doing}", R::OBSERVER), source }
}

#[cfg(test)]
mod tests;
