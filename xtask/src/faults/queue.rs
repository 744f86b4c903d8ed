//! Several runs at once, and all of them ended in order when the user asks for it.

use std::collections::BTreeMap;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::suite::{Outcome, Suites, Wanted};

/// Runs so many suites at once.
pub(crate) struct Queue {
    jobs: usize,
    running: Running,
}

/// The suites that run now, by their place in the queue; none of them has been waited for, so each pid is still its own.
#[derive(Clone, Default)]
struct Running {
    children: Arc<Mutex<BTreeMap<usize, Child>>>,
    interrupted: Arc<AtomicBool>,
}

impl Queue {
    /// From now on a SIGINT, SIGTERM or SIGHUP is passed on to every suite that runs, and no other is started.
    pub(crate) fn new(jobs: usize) -> anyhow::Result<Self> {
        let running = Running::default();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot listen for signals")?;
        let told = running.clone();
        thread::spawn(move || {
            for _ in signals.forever() {
                told.interrupted.store(true, Ordering::SeqCst);
                eprintln!("interrupted: the suites stop their systems in order (again to stop at once)");
                told.pass_on();
            }
        });
        Ok(Self { jobs, running })
    }

    /// Whether the user wants it to end.
    pub(crate) fn interrupted(&self) -> bool {
        self.running.interrupted.load(Ordering::SeqCst)
    }

    /// Carries out all runs, in their order, and says a line on each as it ends, which `in_short` completes. The outcomes
    /// stand in the order of `wanted`.
    pub(crate) fn run(
        &self,
        suites: &Suites,
        wanted: &[&Wanted],
        in_short: impl Fn(&Wanted, &Outcome) -> String + Sync,
    ) -> Vec<anyhow::Result<Outcome>> {
        let (next, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let outcomes: Vec<Mutex<Option<anyhow::Result<Outcome>>>> = wanted.iter().map(|_| Mutex::default()).collect();
        thread::scope(|scope| {
            for _ in 0..self.jobs.min(wanted.len()) {
                scope.spawn(|| {
                    while let Some(wanted_now) =
                        wanted.get(next.fetch_add(1, Ordering::SeqCst)).filter(|_| !self.interrupted())
                    {
                        let began = Instant::now();
                        let place =
                            wanted.iter().position(|other| std::ptr::eq(*other, *wanted_now)).unwrap_or_default();
                        let outcome = self.running.carry_out(place, suites, wanted_now);
                        let count = ended.fetch_add(1, Ordering::SeqCst) + 1;
                        let said = match &outcome {
                            Ok(outcome) => in_short(wanted_now, outcome),
                            Err(error) => format!("{error:#}"),
                        };
                        let seconds = began.elapsed().as_secs();
                        eprintln!("[{count}/{}] {:<22} {said} ({seconds} s)", wanted.len(), wanted_now.fault);
                        *lock(&outcomes[place]) = Some(outcome);
                    }
                });
            }
        });
        let never = || Err(anyhow::anyhow!("it was never started"));
        outcomes.into_iter().map(|one| lock(&one).take().unwrap_or_else(never)).collect()
    }
}

impl Running {
    fn carry_out(&self, place: usize, suites: &Suites, wanted: &Wanted) -> anyhow::Result<Outcome> {
        let output = {
            // Held while it starts, so that no signal is passed on in between.
            let mut children = lock(&self.children);
            if self.interrupted.load(Ordering::SeqCst) {
                bail!("interrupted");
            }
            let mut child = suites.start(wanted)?;
            let output = child.stdout.take();
            children.insert(place, child);
            output
        };
        // It ends when the suite does: what that starts writes to logs.
        let read = output.context("no standard output").and_then(|output| suites.read(wanted, output));
        let child = lock(&self.children).remove(&place);
        let status = child.context("the suite is gone")?.wait().context("cannot wait for the suite")?;
        let mut outcome = read?;
        outcome.exit = status.code().unwrap_or(-1);
        Ok(outcome)
    }

    fn pass_on(&self) {
        for child in lock(&self.children).values() {
            if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                // One that has just ended needs no signal.
                let _ = kill_process(pid, Signal::INT);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
