//! The end of a case: what was still under way comes to its end, and what the system holds is sampled.

use std::time::Duration;

use super::{Runner, Watch};
use crate::backends::Backends;
use crate::case::Case;
use crate::checks::Check;
use crate::checks::left_open::Connections;
use crate::clock::Timestamp;
use crate::history::{CaseId, Event, Source};
use crate::observers::{Observer, ObserverError, procfs};
use crate::sut::Sut;

/// Backends may take this long to see the last of their connections go.
const BACKENDS: Duration = Duration::from_secs(2);
/// From a look at the connections that are left to the next.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Beyond the time that the check gives a connection: its clock is the kernel's.
const MARGIN: Duration = Duration::from_millis(100);

impl Runner {
    /// Waits until backends are done with their connections and, where the case is judged by it, the system with those of
    /// clients that have ended; then everything that happened is in the history.
    pub(super) async fn settle(
        &self,
        id: &CaseId,
        case: &Case,
        watch: &mut Watch<'_>,
        backends: &Backends,
    ) -> Result<(), ObserverError> {
        let begun = Timestamp::now();
        backends.settle(BACKENDS).await;
        watch.fence()?;
        let within_ms = case.checks.iter().find_map(|check| match check {
            Check::NoneLeftOpen(check) => Some(check.within_ms),
            _ => None,
        });
        let deadline = within_ms.map(|within_ms| begun + Duration::from_millis(within_ms) + MARGIN);
        let is_time = || deadline.is_some_and(|deadline| Timestamp::now() < deadline);
        while is_time() && self.left_open(id) > 0 && !self.interrupt.came() {
            tokio::time::sleep(LOOK_AGAIN).await;
            watch.fence()?;
        }
        watch.conclude();
        Ok(())
    }

    fn left_open(&self, id: &CaseId) -> usize {
        self.recorder.records(|records| {
            let begins = |event: &Event| matches!(event, Event::CaseBegin { case, .. } if case == id);
            let first = records.iter().rposition(|record| begins(&record.event)).unwrap_or(0);
            let mut connections = Connections::default();
            records[first..].iter().for_each(|record| connections.take(record));
            connections.left_open().len()
        })
    }

    /// Records what every process of the system holds at this moment; one that has gone is left out.
    pub(super) fn sample(&self, sut: &Sut, watch: &mut dyn Observer) {
        for (process, pid) in sut.processes() {
            match procfs::resources(process, pid, |processes| watch.sockets_held(processes)) {
                Ok(resources) => self.recorder.record(Source::Procfs, Event::Resources(resources)),
                Err(error) => tracing::debug!(process, pid, %error, "what it holds cannot be told"),
            }
        }
    }
}
