//! Random kills at random moments of a run: fifty, all from one seed, which is printed.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::victim::{Victim, profile};

const ROUNDS: u64 = 50;

/// Runs at a time: most of a run is waiting.
const AT_ONCE: usize = 5;

/// A run is killed within the time that an undisturbed one takes here; every fourth one while it is being set up, in this part
/// of that time.
const SET_UP: f64 = 0.05;

/// Another seed than the clock's, to have the same rounds again.
const SEED: &str = "PORTWITNESS_KILLS_SEED";

/// One way to die.
#[derive(Debug)]
struct Round {
    /// After this part of the time of an undisturbed run.
    after: f64,
    first: Signal,
    second: Option<(Duration, Signal)>,
}

impl Round {
    fn new(seed: u64, number: u64) -> Self {
        let mut state = seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // splitmix64
        let mut random = |below: u64| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)) % below
        };
        let signals = [Signal::INT, Signal::TERM];
        let within = if random(4) == 0 { SET_UP } else { 1.0 };
        let after = within * random(1 << 32) as f64 / (1_u64 << 32) as f64;
        let mut either = || signals[random(2) as usize];
        let (once, again) = (either(), either());
        let gap = Duration::from_micros(random(60_000));
        let (first, second) = match random(4) {
            0 => (Signal::INT, None),
            1 => (Signal::TERM, None),
            2 => (Signal::KILL, None),
            _ => (once, Some((gap, again))),
        };
        Self { after, first, second }
    }

    /// Carries it out, where an undisturbed run takes so long; says what is wrong, if anything is.
    fn play(&self, sut: &str, undisturbed: Duration) -> Result<&'static str, String> {
        let began = Instant::now();
        let after = undisturbed.mul_f64(self.after);
        let mut victim = start(sut);
        while began.elapsed() < after && !victim.traces.hold_namespace_of(victim.pid()) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(after.saturating_sub(began.elapsed()));
        victim.traces.hold_namespace_of(victim.pid());
        victim.send(self.first);
        if let Some((gap, again)) = self.second {
            std::thread::sleep(gap);
            victim.send(again);
        }
        let status = victim.ended();
        self.check_end(status).map_err(|why| format!("{why}\n{}", victim.said()))?;
        let history = victim.place().map(|place| place.join("history.jsonl"));
        let recorded = history.and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
        if !recorded.contains(&b'\n') {
            return Ok("nothing was recorded yet");
        }
        let judged = victim.judged();
        match judged.status.code() {
            Some(0) => Ok("judged as passed"),
            Some(97) => Ok("judged as unknown"),
            other => Err(format!("judge ended with {other:?}:\n{}", String::from_utf8_lossy(&judged.stderr))),
        }
    }

    /// A run ends as its signal says, by the signal itself before it could listen to any, or by itself before that came.
    fn check_end(&self, status: ExitStatus) -> Result<(), String> {
        let signals = [Some(self.first), self.second.map(|(_, signal)| signal)];
        let by_signal = signals.iter().flatten().any(|signal| status.signal() == Some(signal.as_raw()));
        let by_itself = matches!(status.code(), Some(0 | 97));
        let interrupted = self.first != Signal::KILL && status.code() == Some(130);
        if by_signal || by_itself || interrupted { Ok(()) } else { Err(format!("it ended with {status}")) }
    }
}

fn start(sut: &str) -> Victim {
    Victim::start(&["--sut", sut, "--case", "1.1-1.3"])
}

/// How long a run takes that nobody disturbs, beside as many others as there will be.
fn undisturbed(sut: &str) -> Duration {
    let began = Instant::now();
    let mut victims: Vec<Victim> = (0..AT_ONCE).map(|_| start(sut)).collect();
    for victim in &mut victims {
        let status = victim.wait();
        assert!(status.success(), "{status}\n{}", victim.said());
    }
    began.elapsed()
}

#[test]
fn fifty_random_kills_leave_nothing_and_can_be_judged() {
    let clock = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as u64;
    let seed = std::env::var(SEED).map_or_else(|_| clock(), |text| text.parse().unwrap());
    println!("{SEED}={seed}");
    let folder = tempfile::tempdir().unwrap();
    // A daemon that goes where only the guardian finds it.
    let stray = "(env -i setsid sleep 304 >/dev/null 2>&1 &)\nexec \"$0\" \"$@\"";
    let profile = profile(folder.path(), stray);
    let sut = profile.to_str().unwrap();
    let undisturbed = undisturbed(sut);
    println!("an undisturbed run takes {undisturbed:?}");
    let next = AtomicU64::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= ROUNDS {
                        return;
                    }
                    let round = Round::new(seed, number);
                    let played = std::panic::catch_unwind(|| round.play(sut, undisturbed));
                    let outcome = played.unwrap_or_else(|_| Err("something is left, see above".into()));
                    println!("{number}: {round:?}: {outcome:?}");
                    outcomes.lock().unwrap().push((round, outcome));
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap();
    assert_eq!(outcomes.len() as u64, ROUNDS);
    let wrong: Vec<_> = outcomes.iter().filter(|(_, outcome)| outcome.is_err()).collect();
    assert!(wrong.is_empty(), "with {SEED}={seed}: {wrong:#?}");
    let unknown = outcomes.iter().filter(|(_, outcome)| *outcome == Ok("judged as unknown")).count();
    assert!(unknown as u64 >= ROUNDS / 5, "most kills came too early or too late to hit a run: {outcomes:#?}");
}
