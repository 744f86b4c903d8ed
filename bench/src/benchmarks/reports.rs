//! How many reports a second the observer takes in, and whether one is lost.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use portwitness::clock::Timestamp;
use portwitness::history::{Event, HistoryReader, Message, Recorder, ReportsChange};
use portwitness::observers::reports::{ReportsObserver, ReportsSettings};

use crate::figure::{Section, Unit};
use crate::observing;
use crate::size::Size;
use crate::work::reports::{Sent, TOPIC};
use crate::worker::Worker;

/// Reports of the whole benchmark.
const REPORTS: u64 = 500_000;
/// The goal is 50 000 a second.
const GOAL_US: f64 = 20.0;

pub(crate) fn run(size: Size) -> anyhow::Result<Section> {
    let mut section = Section::new(
        "Reports",
        "One process sends reports of a login, two frames of 24 and about 100 bytes, over ZMQ (ipc) as fast as they are \
         taken: to a socket that drops them, which shows the sender's own rate, and to the observer, which decodes each, \
         checks it strictly and records it to a file as a run does it. Every one has a user name of its own, so that \
         sent = recorded must hold exactly.",
    );
    let count = size.of(REPORTS, 200);
    let (sent, wall_ns) = bare(count)?;
    section.value("bare socket: rate of the sender", rate(sent.messages, sent.wall_ns), Unit::PerSecond);
    section.value("bare socket: rate received", rate(sent.messages, wall_ns), Unit::PerSecond);

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("history.jsonl");
    let recorder = Recorder::create(&path, observing::run_info())?;
    let observer = ReportsObserver::start(&recorder, ReportsSettings { bind: None, topic: TOPIC.into() })?;
    let handle = observer.handle();
    let sent: Sent = Worker::spawn(&["reports", handle.endpoint(), &count.to_string()])?.go()?;
    observer.stop();
    recorder.finish()?;
    drop(recorder);
    let seen = Seen::read(&path)?;
    let wall_ns = seen.last.since(seen.first).as_nanos() as u64;
    section.value("observed: rate of the sender", rate(sent.messages, sent.wall_ns), Unit::PerSecond);
    section.value("observed: rate recorded", rate(seen.messages, wall_ns), Unit::PerSecond);
    let each_us = wall_ns as f64 / 1e3 / seen.messages.max(1) as f64;
    section.value("observed: time a report", each_us, Unit::Us).at_most(GOAL_US);
    section.value("observed: recorded", seen.messages as f64, Unit::Count);
    let lost = sent.messages as f64 - seen.messages as f64;
    section.value("observed: sent less recorded", lost.abs(), Unit::Count).at_most(0.0);
    section.value("observed: users missing or seen twice", seen.odd_users(count) as f64, Unit::Count).at_most(0.0);
    if seen.backlogs > 0 {
        section.notes.push(format!("the observer's queue was full {} times, and it said so", seen.backlogs));
    }
    Ok(section)
}

fn rate(messages: u64, wall_ns: u64) -> f64 {
    messages as f64 / (wall_ns.max(1) as f64 / 1e9)
}

/// The same to a socket that only receives; what was sent, and how long receiving took.
fn bare(count: u64) -> anyhow::Result<(Sent, u64)> {
    let folder = tempfile::tempdir()?;
    let endpoint = format!("ipc://{}", folder.path().join("bare.sock").display());
    let context = zmq::Context::new();
    let pull = context.socket(zmq::PULL)?;
    pull.set_rcvtimeo(30_000)?;
    pull.bind(&endpoint)?;
    let mut sender = Worker::spawn(&["reports", &endpoint, &count.to_string()])?;
    sender.tell()?;
    let mut began = None;
    let mut received = 0;
    while received <= count {
        pull.recv_multipart(0).with_context(|| format!("after {received} messages"))?;
        began.get_or_insert_with(Instant::now);
        received += 1;
    }
    let wall_ns = began.map_or(0, |began| began.elapsed().as_nanos() as u64);
    let sent: Sent = sender.answer()?;
    ensure!(sent.messages == received, "{} messages were sent and {received} received", sent.messages);
    Ok((sent, wall_ns))
}

/// What the history has.
struct Seen {
    messages: u64,
    first: Timestamp,
    last: Timestamp,
    backlogs: u64,
    users: Vec<u8>,
}

impl Seen {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let mut seen =
            Self { messages: 0, first: Timestamp(u64::MAX), last: Timestamp(0), backlogs: 0, users: Vec::new() };
        for record in HistoryReader::open(path)? {
            let record = record?;
            match &record.event {
                Event::Message(message) => {
                    seen.messages += 1;
                    seen.first = seen.first.min(record.at);
                    seen.last = seen.last.max(record.at);
                    seen.take(message);
                }
                Event::Reports(ReportsChange::Backlog { .. }) => seen.backlogs += 1,
                _ => {}
            }
        }
        ensure!(seen.messages > 0, "no message was recorded");
        Ok(seen)
    }

    /// Counts the user of a report that is as it should be.
    fn take(&mut self, message: &Message) {
        let Message::Report { report, flaws, .. } = message else { return };
        let user = report.data.iter().flatten().find(|(key, _)| key == "username");
        let number = user.and_then(|(_, user)| user.strip_prefix("user-")?.parse::<usize>().ok());
        let Some(number) = number.filter(|_| flaws.is_empty()) else { return };
        if self.users.len() <= number {
            self.users.resize(number + 1, 0);
        }
        self.users[number] = self.users[number].saturating_add(1);
    }

    fn odd_users(&self, count: u64) -> u64 {
        let once = self.users.iter().filter(|times| **times == 1).count() as u64;
        count - once.min(count)
    }
}
