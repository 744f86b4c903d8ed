//! The part of a history that belongs to one case, read the way checks need it.

use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::history::{
    Anomaly, BackendConnection, CaseId, Event, History, Iterations, OpId, OpStep, Operation, Outcome, PortTimeline,
    Record, RttHistogram, RunInfo,
};

/// One case of a run: its records, and everything before them.
pub struct Slice<'a> {
    /// The run.
    pub run: &'a RunInfo,
    /// All records up to that of the case's end, in the order of time.
    pub records: &'a [Record],
    /// When the case began.
    pub begin: Timestamp,
    /// Until when everything is known: the beginning of its last fence; its last record's time when there is none.
    pub end: Timestamp,
    /// The checks that were declared, as they stand in the history.
    pub declared: &'a [serde_json::Value],
    /// The case has an end, and this is what kept it from going as planned.
    pub ended: Option<Option<&'a str>>,
}

/// An operation, put together from its steps.
#[derive(Debug)]
pub struct Op<'a> {
    /// Its number.
    pub op: OpId,
    /// Its group.
    pub group: &'a str,
    /// The kind of client.
    pub client: &'a str,
    /// Where it connected to.
    pub target: Endpoint,
    /// Bytes that it meant to send.
    pub planned: u64,
    /// The first bytes of these, in hexadecimal.
    pub head: &'a str,
    /// When it began.
    pub start: Timestamp,
    /// Its connect, when that returned.
    pub connect: Option<Connect<'a>>,
    /// Right before its first write.
    pub first_byte: Option<Timestamp>,
    /// The longest time in which nothing moved that should have, in ms, and when that was over; `None` below a second.
    pub silence: Option<(u64, Timestamp)>,
    /// Its end, when it came.
    pub end: Option<End<'a>>,
}

/// How a connect went.
#[derive(Debug)]
pub struct Connect<'a> {
    /// When connect(2) was called.
    pub began: Timestamp,
    /// When it returned.
    pub returned: Timestamp,
    /// With what.
    pub outcome: &'a Outcome,
    /// The client's own end.
    pub local: Option<Endpoint>,
}

/// How an operation ended.
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields are those of OpStep::End")]
pub struct End<'a> {
    pub at: Timestamp,
    pub outcome: &'a Outcome,
    pub sent: u64,
    pub received: u64,
    pub sent_sha256: Option<&'a str>,
    pub received_sha256: Option<&'a str>,
    pub anomalies: &'a [Anomaly],
    pub iterations: Option<Iterations>,
    pub rtt: &'a RttHistogram,
}

impl<'a> Slice<'a> {
    /// Cuts a case out of a history; `None` when it never began.
    pub fn of(history: &'a History, case: &CaseId) -> Option<Self> {
        let records = &history.records;
        let is_begin = |record: &Record| matches!(&record.event, Event::CaseBegin { case: begun, .. } if begun == case);
        let is_end = |record: &Record| matches!(&record.event, Event::CaseEnd { case: ended, .. } if ended == case);
        let first = records.iter().position(is_begin)?;
        let Event::CaseBegin { checks: declared, .. } = &records[first].event else { return None };
        let last = records[first..].iter().position(is_end).map(|after| first + after);
        let ended = last.map(|at| match &records[at].event {
            Event::CaseEnd { error, .. } => error.as_deref(),
            _ => None,
        });
        // The records of a moment stand in the order of arrival: all of the last moment belong to the case.
        let last = last.map_or_else(|| records[records.len() - 1].at, |at| records[at].at);
        let records = &records[..records.partition_point(|record| record.at <= last)];
        // What happened after the fence began may be recorded, or not yet: the case ends where everything is known.
        let begin = records[first].at;
        let fence = records[first..].iter().rev().find_map(|record| match record.event {
            Event::Fence { began, .. } if began >= begin && record.source.witnesses_ports() => Some(began),
            _ => None,
        });
        let end = fence.unwrap_or(last);
        Some(Self { run: &history.run, records, begin, end, declared, ended })
    }

    /// The records of the case alone.
    pub fn own(&self) -> &'a [Record] {
        let first = self.records.partition_point(|record| record.at < self.begin);
        &self.records[first..]
    }

    /// The port's listeners before the case and its edges during it.
    pub fn timeline(&self, port: Endpoint) -> PortTimeline {
        PortTimeline::of(port, self.run.netns, self.records, self.begin, self.end)
    }

    /// Whether the case did not go to its end: what had not happened by then might have happened still.
    pub fn cut_short(&self) -> bool {
        self.ended != Some(None)
    }

    /// The operations that began in the case, in the order of their beginning.
    pub fn operations(&self) -> Vec<Op<'a>> {
        let mut ops: Vec<Op<'a>> = Vec::new();
        for record in self.own() {
            let Event::Operation(operation) = &record.event else { continue };
            if let OpStep::Start { group, client, target, planned, head } = &operation.step {
                ops.push(Op {
                    op: operation.op,
                    group,
                    client,
                    target: *target,
                    planned: *planned,
                    head,
                    start: record.at,
                    connect: None,
                    first_byte: None,
                    silence: None,
                    end: None,
                });
            } else if let Some(op) = ops.iter_mut().rev().find(|op| op.op == operation.op) {
                op.take(record.at, &operation.step);
            }
        }
        ops
    }

    /// The operations of one group.
    pub fn group(&self, group: &str) -> Vec<Op<'a>> {
        let mut ops = self.operations();
        ops.retain(|op| op.group == group);
        ops
    }

    /// The moment of the first byte that any operation of a group wrote.
    pub fn first_byte(&self, group: &str) -> Option<Timestamp> {
        self.group(group).iter().filter_map(|op| op.first_byte).min()
    }

    /// When the moment of this name was recorded in the case.
    pub fn moment(&self, name: &str) -> Option<Timestamp> {
        let of_name = |record: &&Record| matches!(&record.event, Event::Moment { name: other } if other == name);
        self.own().iter().find(of_name).map(|record| record.at)
    }

    /// The connections that our backends saw in the case, the last word on each.
    pub fn backend_connections(&self) -> Vec<&'a BackendConnection> {
        let mut seen: Vec<&BackendConnection> = Vec::new();
        for record in self.own() {
            let Event::Backend(connection) = &record.event else { continue };
            let same = |other: &&mut &BackendConnection| {
                other.listen == connection.listen
                    && other.peer == connection.peer
                    && other.accepted == connection.accepted
            };
            match seen.iter_mut().find(same) {
                Some(earlier) => *earlier = connection,
                None => seen.push(connection),
            }
        }
        seen
    }

    /// The records that `relevant` picks between two moments, one a line, each with its distance from `zero` in ms;
    /// the first twelve.
    pub fn around(
        &self,
        zero: Timestamp,
        from: Timestamp,
        to: Timestamp,
        relevant: impl Fn(&Event) -> bool,
    ) -> Vec<String> {
        self.records
            .iter()
            .filter(|record| record.at >= from && record.at <= to && relevant(&record.event))
            .take(12)
            .map(|record| format!("{:+.3} ms {}", record.at.ms_after(zero), describe(&record.event)))
            .collect()
    }
}

impl<'a> Op<'a> {
    fn take(&mut self, at: Timestamp, step: &'a OpStep) {
        match step {
            OpStep::Start { .. } => {}
            OpStep::Connect { began, outcome, local } => {
                self.connect = Some(Connect { began: *began, returned: at, outcome, local: *local });
            }
            OpStep::FirstByte => self.first_byte = Some(at),
            OpStep::Silence { lasted_ms } => self.silence = Some((*lasted_ms, at)),
            OpStep::End { outcome, sent, received, sent_sha256, received_sha256, anomalies, iterations, rtt } => {
                self.end = Some(End {
                    at,
                    outcome,
                    sent: *sent,
                    received: *received,
                    sent_sha256: sent_sha256.as_deref(),
                    received_sha256: received_sha256.as_deref(),
                    anomalies,
                    iterations: *iterations,
                    rtt,
                });
            }
        }
    }

    /// How it ended, in words.
    pub fn ending(&self) -> String {
        match &self.end {
            Some(end) => format!(
                "operation {} to {}: {} ({} of {} bytes sent, {} received)",
                self.op.0, self.target, end.outcome, end.sent, self.planned, end.received
            ),
            None => format!("operation {} to {}: never ended", self.op.0, self.target),
        }
    }
}

/// A record's event in one line.
pub fn describe(event: &Event) -> String {
    match event {
        Event::SocketState(change) => {
            let remote = change.remote.map(|remote| format!(" <-> {remote}")).unwrap_or_default();
            format!("{}{remote} {:?} -> {:?} by {}", change.local, change.from, change.to, change.process)
        }
        Event::Operation(Operation { op, step: OpStep::FirstByte }) => {
            format!("operation {} writes its first byte", op.0)
        }
        Event::Moment { name } => name.clone(),
        Event::Syscall(call) => format!("{} fd {} {:?} by {}", call.name, call.fd, call.phase, call.process),
        other => serde_json::to_string(other).unwrap_or_else(|error| format!("(not writable: {error})")),
    }
}
