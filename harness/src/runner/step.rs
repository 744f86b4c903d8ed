//! Carries out the steps of a case: each as a task of its own, with a deadline, ended when the run is interrupted.

use std::any::Any;
use std::collections::HashSet;
use std::time::Duration;

use super::Runner;
use crate::case::{Context, Step};
use crate::clock::Timestamp;
use crate::history::{CaseId, Event, OpStep, Record};
use crate::sut::wait;

/// Operations that were ended record that within this time: all they need is a turn of the runtime.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// From a look at whether the history can still be written to the next.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Runner {
    /// Carries out a step. A panic in it ends the step and nothing else.
    pub(super) async fn carry_out(&self, step: &Step, case: &CaseId, deadline: Duration) -> Result<(), String> {
        // FNV-1a: every case has a seed of its own, alike in every run with the run's seed.
        let mixed = |seed: u64, byte: u8| (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        let seed = case.number.bytes().fold(self.seed, mixed);
        let context = Context {
            recorder: self.recorder.clone(),
            seed,
            generation: self.generation,
            reports: self.reports.clone(),
        };
        let from = self.recorder.records(<[Record]>::len);
        let mut task = tokio::spawn(step(context));
        let mut interrupt = self.interrupt.clone();
        let outcome = tokio::select! {
            ended = &mut task => return match ended {
                Ok(result) => result.map_err(|error| format!("{error:#}")),
                Err(error) => {
                    self.last_words(from).await;
                    Err(format!("the case panicked: {}", panic_message(error)))
                }
            },
            () = tokio::time::sleep(deadline) => Err(format!("it did not end within {} s", deadline.as_secs())),
            () = interrupt.wait() => Err("interrupted".into()),
            () = self.unwritten() => Err("its history can no longer be written".into()),
        };
        task.abort();
        // What the task says now is said already.
        let _ = task.await;
        self.last_words(from).await;
        outcome
    }

    /// Returns when nothing more can be written to the history: what happens from then on, nobody could judge.
    pub(super) async fn unwritten(&self) {
        while !self.recorder.file_failed() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until every operation that began has recorded its end: tasks that the step had spawned end a little later.
    async fn last_words(&self, from: usize) {
        let all_ended = |records: &[Record]| {
            let mut open = HashSet::new();
            for record in &records[from..] {
                let Event::Operation(operation) = &record.event else { continue };
                match operation.step {
                    OpStep::Start { .. } => open.insert(operation.op),
                    OpStep::End { .. } => open.remove(&operation.op),
                    _ => false,
                };
            }
            open.is_empty()
        };
        wait::until(&self.recorder, Timestamp::now() + LAST_WORDS, all_ended).await;
    }
}

fn panic_message(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(payload) => said(payload.as_ref()),
        Err(error) => error.to_string(),
    }
}

/// The message of a panic.
pub(crate) fn said(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".into())
}
