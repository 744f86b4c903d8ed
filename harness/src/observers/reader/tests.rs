//! A thread that is paused, fenced, ended, and that dies in each way.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::history::properties::arbitrary::plain_run;
use crate::observers::fence::Sentinels;

/// Reads a number that sentinels set, each for its own CPU.
struct Counter {
    sentinels: Arc<AtomicU64>,
}

const CPUS: u64 = 64;

impl Reads for Counter {
    type Told = u64;

    const OBSERVER: &'static str = "counter";
    const SOURCE: Source = Source::Scap;
    const WHAT: &'static str = "the reader of the number";
    const EVERY: Duration = Duration::from_millis(1);

    fn round(&mut self, control: &Control<u64>) -> io::Result<()> {
        let sentinels = self.sentinels.swap(0, Ordering::SeqCst);
        let rounds = control.state.look(|state| state.told) + 1;
        control.tell(rounds);
        control.awaited(|awaited| {
            (0..CPUS).filter(|cpu| sentinels >> cpu & 1 == 1).for_each(|cpu| awaited.came(cpu as u32))
        });
        Ok(())
    }

    fn last_round(&mut self, control: &Control<u64>) -> io::Result<()> {
        control.tell(u64::MAX);
        Ok(())
    }
}

fn started() -> (ReadingThread<Counter>, Recorder) {
    let recorder = Recorder::in_memory(plain_run());
    let sentinels = Arc::new(AtomicU64::new(0));
    let made = Arc::clone(&sentinels);
    let make = move |_| {
        made.fetch_or(1 << (rustix::thread::sched_getcpu() as u64 % CPUS), Ordering::SeqCst);
        Ok(())
    };
    let within = Duration::from_millis(500);
    let fences = Fences::new(Sentinels::start("counter", make).unwrap(), within, Duration::from_millis(5));
    let open = move || Ok((Counter { sentinels }, "a counter".to_owned(), 42));
    let (reading, beside) = ReadingThread::start(recorder.clone(), fences, open).unwrap();
    assert_eq!((reading.name(), beside), ("a counter", 42));
    (reading, recorder)
}

fn told(recorder: &Recorder) -> Vec<Event> {
    recorder.history().records.into_iter().map(|record| record.event).collect()
}

#[test]
fn a_fence_passes_a_reader_that_reads_and_not_one_that_rests() {
    let (mut reading, recorder) = started();
    let fenced = reading.fence().unwrap();
    reading.fenced(&fenced).unwrap();
    reading.give(Order::Pause);
    let rounds = reading.told();
    let short = reading.fence().unwrap();
    let error = reading.fenced(&short).unwrap_err().to_string();
    assert_eq!(reading.told(), rounds, "a paused reader reads nothing");
    assert!(error.contains("the observer a counter died: 0 of"), "{error}");
    reading.give(Order::Run);
    let fenced = reading.fence().unwrap();
    assert_eq!(fenced.cpus, fenced.seen);
    reading.end();
    assert_eq!(reading.told(), u64::MAX, "it read once more");
    assert!(reading.fence().unwrap_err().to_string().contains("it was stopped"));
    assert_eq!(told(&recorder).len(), 2, "two fences were recorded: {:?}", told(&recorder));
}

#[test]
fn a_death_is_recorded_and_told_to_whoever_asks() {
    for (order, reason) in [
        (Order::Fail, "the reader of the number failed: it was told to fail"),
        (Order::Panic, "the reader of the number panicked"),
    ] {
        let (mut reading, recorder) = started();
        reading.give(order);
        assert!(reading.control.state.wait(Duration::from_secs(60), |state| state.dead.is_some()));
        // Nobody waits for a dead thread to rest.
        reading.give(Order::Pause);
        let error = reading.fence().unwrap_err().to_string();
        assert_eq!(error, format!("the observer a counter died: {reason}"));
        assert_eq!(told(&recorder), [Event::Observer(ObserverChange::Died { reason: reason.into() })]);
    }
}

#[test]
fn what_cannot_be_opened_is_an_error_of_the_start() {
    let fences = Fences::new(Sentinels::start("counter", |_| Ok(())).unwrap(), Duration::ZERO, Duration::ZERO);
    let refused = || ObserverError::Lacking { observer: "counter".into(), lacks: "x".into(), way_out: "y".into() };
    let recorder = Recorder::in_memory(plain_run());
    let started = ReadingThread::<Counter>::start::<()>(recorder, fences, move || Err(refused()));
    assert_eq!(started.err().unwrap().to_string(), "counter cannot observe here: x; y");
}
