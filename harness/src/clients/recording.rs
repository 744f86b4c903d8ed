//! The records of one operation, from its start to its one and only end, which comes even when its future is dropped.

use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tracing::debug;

use super::activity::Activity;
use super::payload::Payload;
use super::verifier::Verifier;
use super::{ClientContext, Finished};
use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::history::{Event, Iterations, OpId, OpStep, Operation, Outcome, Record, Recorder, RttHistogram, Source};

/// Bytes that are generated, written and read at a time: 256 KiB moves a stream over loopback faster than 64 KiB does.
pub(super) const CHUNK: usize = 256 * 1024;

/// A connection that stood still for less is nothing to speak of.
const NOTABLE_SILENCE: Duration = Duration::from_secs(1);

/// Why a client stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// It has all that it wanted.
    Complete,
    /// The other end closed in order.
    Eof,
    /// Nothing moved for the idle deadline.
    Idle,
    /// A system call failed.
    Error { doing: &'static str, source: io::Error },
}

/// An operation under way.
pub(super) struct Recording {
    /// What is sent.
    pub(super) outgoing: Outgoing,
    /// What is received.
    pub(super) incoming: Verifier,
    /// Turns, for clients that take them.
    pub(super) iterations: Option<Iterations>,
    /// Round-trip times in ns.
    pub(super) rtt: Option<Histogram<u64>>,
    log: Log,
    idle: Duration,
    started: Timestamp,
    ended: bool,
}

impl Recording {
    /// Records the start.
    pub(super) fn start(context: &ClientContext, client: &str, payload: Payload, sha256: bool) -> Self {
        let log = Log { recorder: context.recorder.clone(), op: context.recorder.next_op() };
        let started = Timestamp::now();
        let start = OpStep::Start {
            group: context.group.clone(),
            client: client.into(),
            target: context.target,
            planned: payload.length(),
            head: hex::encode(payload.head()),
        };
        debug!(op = log.op.0, group = context.group, client, target = %context.target, "begins");
        log.append(started, start);
        Self {
            outgoing: Outgoing {
                payload: payload.clone(),
                sent: 0,
                first_byte: None,
                digest: sha256.then(Sha256::new),
                chunk: Vec::new(),
                log: log.clone(),
            },
            incoming: Verifier::new(payload, sha256),
            iterations: None,
            rtt: None,
            log,
            idle: context.deadlines.idle,
            started,
            ended: false,
        }
    }

    /// Which operation it is.
    pub(super) fn op(&self) -> OpId {
        self.log.op
    }

    /// Records how the connect went.
    pub(super) fn connected(&self, began: Timestamp, outcome: Outcome, local: Option<Endpoint>) {
        self.log.append(Timestamp::now(), OpStep::Connect { began, outcome, local });
    }

    /// Records how long the connection stood still, when that was long.
    pub(super) fn silent(&self, (silence, until): (Duration, Timestamp)) {
        if silence >= NOTABLE_SILENCE {
            self.log.append(until, OpStep::Silence { lasted_ms: milliseconds(silence) });
        }
    }

    /// Records the end of an operation whose connection stopped.
    pub(super) fn end(mut self, stop: &Stop) -> Finished {
        self.incoming.finish(self.outgoing.sent);
        let complete = self.incoming.received() >= self.outgoing.payload.length();
        let outcome = match (self.incoming.anomalies().first(), stop) {
            (Some(anomaly), _) => Outcome::Corrupt { offset: anomaly.offset },
            (None, Stop::Complete) => Outcome::Ok,
            (None, Stop::Eof) if complete => Outcome::Ok,
            (None, Stop::Eof) => Outcome::ClosedEarly,
            (None, Stop::Idle) => Outcome::Timeout { after_ms: milliseconds(self.idle) },
            (None, Stop::Error { doing, source }) => outcome_of(doing, source),
        };
        self.end_as(outcome)
    }

    /// Records the end.
    pub(super) fn end_as(mut self, outcome: Outcome) -> Finished {
        self.record_end(outcome)
    }

    fn record_end(&mut self, outcome: Outcome) -> Finished {
        self.ended = true;
        let finished = Finished {
            op: self.log.op,
            outcome,
            started: self.started,
            first_byte: self.outgoing.first_byte,
            ended: Timestamp::now(),
            sent: self.outgoing.sent,
            received: self.incoming.received(),
            sent_sha256: self.outgoing.digest.take().map(|digest| hex::encode(digest.finalize())),
            received_sha256: self.incoming.sha256(),
            anomalies: self.incoming.anomalies().to_vec(),
            iterations: self.iterations,
            rtt: self.rtt.as_ref().map(sparse).unwrap_or_default(),
        };
        debug!(op = finished.op.0, outcome = %finished.outcome, received = finished.received, "ended");
        let end = OpStep::End {
            outcome: finished.outcome.clone(),
            sent: finished.sent,
            received: finished.received,
            sent_sha256: finished.sent_sha256.clone(),
            received_sha256: finished.received_sha256.clone(),
            anomalies: finished.anomalies.clone(),
            iterations: finished.iterations,
            rtt: finished.rtt.clone(),
        };
        self.log.append(finished.ended, end);
        finished
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if !self.ended {
            self.record_end(Outcome::Cancelled);
        }
    }
}

/// The sending half of an operation.
pub(super) struct Outgoing {
    /// What is sent.
    pub(super) payload: Payload,
    /// Bytes that write(2) has accepted.
    pub(super) sent: u64,
    /// Right before the first write, when there was one.
    pub(super) first_byte: Option<Timestamp>,
    digest: Option<Sha256>,
    chunk: Vec<u8>,
    log: Log,
}

impl Outgoing {
    /// Sends the payload from where it stands as far as offset `end`. May be dropped at any point: what was sent is counted.
    pub(super) async fn send(
        &mut self,
        writer: &mut (impl AsyncWrite + Unpin),
        end: u64,
        activity: &Activity,
    ) -> io::Result<()> {
        while self.sent < end {
            let count = (end - self.sent).min(CHUNK as u64) as usize;
            if self.chunk.len() < count {
                self.chunk.resize(count, 0);
            }
            self.payload.fill(self.sent, &mut self.chunk[..count]);
            let mut written = 0;
            while written < count {
                let before = Timestamp::now();
                let accepted = writer.write(&self.chunk[written..count]).await?;
                if accepted == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                if self.sent == 0 {
                    self.first_byte = Some(before);
                    self.log.append(before, OpStep::FirstByte);
                }
                if let Some(digest) = &mut self.digest {
                    digest.update(&self.chunk[written..written + accepted]);
                }
                self.sent += accepted as u64;
                written += accepted;
                activity.touch();
            }
        }
        Ok(())
    }
}

#[derive(Clone)]
struct Log {
    recorder: Recorder,
    op: OpId,
}

impl Log {
    fn append(&self, at: Timestamp, step: OpStep) {
        let event = Event::Operation(Operation { op: self.op, step });
        self.recorder.append(Record { at, uncertainty_ns: 0, source: Source::Client, event });
    }
}

/// What an error of the operating system means for an operation.
pub(super) fn outcome_of(doing: &str, error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Outcome::Refused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Outcome::Reset,
        _ => Outcome::Failed { error: format!("{doing}: {error}") },
    }
}

/// In whole ms.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn sparse(histogram: &Histogram<u64>) -> RttHistogram {
    RttHistogram(histogram.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect())
}
