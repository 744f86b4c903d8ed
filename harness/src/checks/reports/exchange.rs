//! What handlers expected in a case, and what came.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};

use crate::checks::slice::Slice;
use crate::clock::Timestamp;
use crate::endpoint::{Endpoint, Tgid};
use crate::history::{Event, Flaw, HandlerEnd, HandlerStep, Message, Record, Report, ReportsChange};

/// Nothing was bound for the reports.
pub(super) const NOBODY: &str = "no reports observer was listening: the profile needs a [reports] section";

/// Both sides of a case.
#[derive(Debug, Default)]
pub struct Exchange<'a> {
    /// The handlers, by number.
    pub talkers: BTreeMap<u64, Talker<'a>>,
    /// What must come, in the order in which it was brought about.
    pub expected: Vec<Expected<'a>>,
    /// What came since the last case ended, in the order of arrival.
    pub received: Vec<Received<'a>>,
    /// What came and could not be read: why, and when.
    pub undecodable: Vec<(Timestamp, &'a str)>,
}

/// A handler.
#[derive(Debug)]
pub struct Talker<'a> {
    /// The scenario's name.
    pub name: &'a str,
    /// To which part of the system.
    pub minipot: &'a str,
    /// Where it connected to.
    pub target: Endpoint,
    /// Its process.
    pub pid: Tgid,
    /// Its own address: that of its first connection.
    pub address: Option<IpAddr>,
    /// The own ends of its connections, by their number.
    pub locals: BTreeMap<u32, Endpoint>,
    /// What went wrong in the conversation: place, expected, seen.
    pub failed: Option<(&'a str, &'a str, &'a str)>,
    /// How it ended.
    pub ended: Option<&'a HandlerEnd>,
}

/// A report that the system must send.
#[derive(Clone, Debug)]
pub struct Expected<'a> {
    /// On account of which handler.
    pub handler: u64,
    /// And which of its connections.
    pub connection: u32,
    /// What it must say.
    pub report: &'a Report,
    /// Right before the first byte that brings it about was sent.
    pub began: Timestamp,
    /// All of that was sent.
    pub sent: Timestamp,
    /// The next reply on the connection was read.
    pub answered: Option<Timestamp>,
    /// From here on the system must have written it to its pipe: what was sent was answered.
    pub certain: Option<Timestamp>,
}

/// A report that came.
#[derive(Clone, Debug)]
pub struct Received<'a> {
    /// When.
    pub at: Timestamp,
    /// Under which topic.
    pub topic: &'a str,
    /// What it says.
    pub report: &'a Report,
    /// How it departs from the wire format.
    pub flaws: &'a [Flaw],
}

impl<'a> Exchange<'a> {
    /// Of a case. What came between the end of the last case and its beginning counts as its own.
    pub fn of(slice: &Slice<'a>) -> Self {
        let case_ended = |record: &Record| matches!(record.event, Event::CaseEnd { .. });
        let before = slice.records.partition_point(|record| record.at < slice.begin);
        let since = slice.records[..before].iter().rposition(case_ended).map_or(0, |at| at + 1);
        let mut exchange = Self::default();
        exchange.take_messages(&slice.records[since..]);
        exchange.take_handlers(slice.own());
        exchange
    }

    /// Of records alone, in any order.
    pub(super) fn of_records(records: &'a [Record]) -> Self {
        let mut exchange = Self::default();
        exchange.take_messages(records);
        exchange.take_handlers(records);
        exchange
    }

    fn take_messages(&mut self, records: &'a [Record]) {
        for record in records {
            let at = record.at;
            match &record.event {
                Event::Message(Message::Report { topic, report, flaws }) => {
                    self.received.push(Received { at, topic, report, flaws });
                }
                Event::Message(Message::Undecodable { reason, .. }) => self.undecodable.push((at, reason)),
                _ => {}
            }
        }
    }

    fn take_handlers(&mut self, records: &'a [Record]) {
        let mut connections: HashMap<(u64, u32), Answers> = HashMap::new();
        for record in records {
            let Event::Handler(handling) = &record.event else { continue };
            let handler = handling.handler;
            if let HandlerStep::Start { name, minipot, target, pid, address, .. } = &handling.step {
                let locals = BTreeMap::new();
                let (target, pid, address) = (*target, *pid, *address);
                let talker = Talker { name, minipot, target, pid, address, locals, failed: None, ended: None };
                self.talkers.insert(handler, talker);
            }
            let talker = self.talkers.get_mut(&handler);
            match &handling.step {
                HandlerStep::Connect { connection, local: Some(local), .. } => {
                    talker.map(|talker| talker.locals.insert(*connection, *local));
                }
                HandlerStep::Failed { place, expected, seen } => {
                    talker.into_iter().for_each(|talker| talker.failed = Some((place, expected, seen)));
                }
                HandlerStep::End { outcome } => {
                    talker.into_iter().for_each(|talker| talker.ended = Some(outcome));
                }
                HandlerStep::Sent { connection, .. } => {
                    connections.entry((handler, *connection)).or_default().sent(&mut self.expected);
                }
                HandlerStep::Received { connection, .. } => {
                    connections.entry((handler, *connection)).or_default().received(record.at, &mut self.expected);
                }
                HandlerStep::Over { connection, .. } => {
                    connections.entry((handler, *connection)).or_default().sent(&mut self.expected);
                }
                HandlerStep::Expects { connection, report, began } => {
                    let answers = connections.entry((handler, *connection)).or_default();
                    answers.expects(self.expected.len());
                    self.expected.push(Expected {
                        handler,
                        connection: *connection,
                        report,
                        began: *began,
                        sent: record.at,
                        answered: None,
                        certain: None,
                    });
                }
                _ => {}
            }
        }
        connections.values_mut().for_each(|answers| answers.sent(&mut self.expected));
    }

    /// Whether an address is that of a handler that was there before those of this case: each of a run has a block of 256
    /// addresses of its own, from 127.16.0.0 on to 127.239.255.255, one after the other ([`HandlerStep::Start`] tells the first of each).
    pub(super) fn is_of_earlier_handler(&self, ip: &str) -> bool {
        let block = |ip: Ipv4Addr| u32::from(ip) >> 8;
        let handlers = block(Ipv4Addr::new(127, 16, 0, 0))..=block(Ipv4Addr::new(127, 239, 255, 255));
        let own = self.talkers.values().filter_map(|talker| match talker.address {
            Some(IpAddr::V4(address)) => Some(block(address)),
            _ => None,
        });
        // Those of a case that speak IPv6 alone have none.
        let first = own.min().unwrap_or(u32::MAX);
        ip.parse().map(block).is_ok_and(|block| handlers.contains(&block) && block < first)
    }

    /// The handler of an expected report.
    pub fn talker(&self, expected: &Expected<'_>) -> &str {
        self.talkers.get(&expected.handler).map_or("?", |talker| talker.name)
    }

    /// What is missing in the evidence, if anything is.
    pub(in crate::checks) fn hole(&self, slice: &Slice<'_>) -> Option<String> {
        let mut listening = false;
        for record in slice.records {
            let Event::Reports(change) = &record.event else { continue };
            match change {
                ReportsChange::Bound { .. } => listening = true,
                ReportsChange::Died { reason } => return Some(format!("the reports observer died: {reason}")),
                ReportsChange::Stopped { .. } => listening = false,
                ReportsChange::Backlog { messages, .. } if record.at >= slice.begin => {
                    return Some(format!(
                        "{messages} messages came in a row: its queue was full, the system was held up"
                    ));
                }
                _ => {}
            }
        }
        if !listening {
            return Some(NOBODY.into());
        }
        let settled = |record: &Record| matches!(record.event, Event::Reports(ReportsChange::Settled { .. }));
        if !slice.own().iter().any(settled) {
            return Some("the capture did not come to its end: reports may still have been on their way".into());
        }
        let broken = self.talkers.values().find_map(|talker| match talker.ended {
            Some(HandlerEnd::Done) => None,
            Some(ended) => Some(format!("the handler `{}` {ended}: it did not say all that it expects", talker.name)),
            None => Some(format!("the handler `{}` never ended", talker.name)),
        });
        broken.or_else(|| self.expected.is_empty().then(|| "no handler expected any report".into()))
    }
}

/// Which expectations of a connection wait for an answer.
#[derive(Default)]
struct Answers {
    /// Those after which no reply was read yet.
    open: Vec<usize>,
    /// Those that are not certain yet.
    asked: Vec<usize>,
    /// How many of these are due to something that was sent, not to the connect: each has a reply of its own.
    due: usize,
    /// Something was sent: a greeting comes before the report of the connect, so it makes nothing certain.
    begun: bool,
    /// Replies since the last time that something was sent.
    replies: usize,
    last: Timestamp,
}

impl Answers {
    fn expects(&mut self, expectation: usize) {
        self.open.push(expectation);
        self.asked.push(expectation);
        self.due += usize::from(self.begun);
    }

    /// Something is sent, or the connection is over: what was asked before is certain when as many replies came as were due.
    fn sent(&mut self, expected: &mut [Expected<'_>]) {
        if self.begun && self.replies > 0 && self.replies >= self.due {
            self.due = 0;
            for index in self.asked.drain(..) {
                expected[index].certain = Some(self.last);
            }
        }
        self.begun = true;
        self.replies = 0;
    }

    fn received(&mut self, at: Timestamp, expected: &mut [Expected<'_>]) {
        for index in self.open.drain(..) {
            expected[index].answered = Some(at);
        }
        self.replies += 1;
        self.last = at;
    }
}
