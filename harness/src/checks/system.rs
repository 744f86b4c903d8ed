//! What concerns the system under test outside of its cases: did its processes live, and stop when they were asked to?

use super::judge::CheckJudgement;
use super::verdict::Verdict;
use crate::history::{Event, SutChange};

/// The lives of the system's processes, followed record by record.
#[derive(Default)]
pub(super) struct System {
    checks: Vec<CheckJudgement>,
    running: Vec<String>,
    /// A case has asked the system that runs now to end, or brought about what it ends by.
    asked: bool,
}

impl System {
    /// Takes the next record into account.
    pub(super) fn take(&mut self, event: &Event) {
        let (process, verdict) = match event {
            Event::Sut(SutChange::Launched { process, .. }) => {
                self.running.push(process.clone());
                self.asked = false;
                return;
            }
            Event::Sut(SutChange::Asked { .. } | SutChange::Provoked { .. }) => {
                self.asked = true;
                return;
            }
            Event::Sut(SutChange::Died { process, status }) if self.asked => (process, stopped(process, status)),
            Event::Sut(SutChange::Stopped { process, status, .. }) => (process, stopped(process, status)),
            Event::Sut(SutChange::Died { process, status }) => {
                let seen = format!("it died: {status}");
                (process, Verdict::fail(format!("`{process}` to live until it is asked to stop"), seen))
            }
            Event::Sut(SutChange::Killed { process, after_ms }) => (
                process,
                Verdict::fail(
                    format!("`{process}` to stop on its stop signal"),
                    format!("it ignored the signal for {after_ms} ms and was killed"),
                ),
            ),
            _ => return,
        };
        self.running.retain(|launched| launched != process);
        add(&mut self.checks, process, verdict);
    }

    /// One verdict a process.
    pub(super) fn judge(mut self) -> Vec<CheckJudgement> {
        for process in self.running {
            let reason = format!("how `{process}` ended is not recorded");
            add(&mut self.checks, &process, Verdict::unknown(reason));
        }
        self.checks
    }
}

/// A process may end by a signal that asks it to (HUP, INT, QUIT, TERM), not by one that says that it is broken.
fn stopped(process: &str, status: &str) -> Verdict {
    match status.strip_prefix("signal ") {
        Some(signal) if !["1", "2", "3", "15"].contains(&signal) => {
            Verdict::fail(format!("`{process}` to stop in order"), format!("it ended by signal {signal}"))
        }
        _ => Verdict::Pass,
    }
}

fn add(checks: &mut Vec<CheckJudgement>, process: &str, verdict: Verdict) {
    let name = format!("{process} lives and stops");
    match checks.iter_mut().find(|check| check.name == name) {
        Some(check) => check.verdict = Verdict::worst([&check.verdict, &verdict]),
        None => checks.push(CheckJudgement { name, verdict }),
    }
}
