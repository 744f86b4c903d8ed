//! A case as the traffic program tells it, laid beside what the stream has of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use portwitness_kmod::Versions;

use super::calls::{Expected, Generation, WATCHED, expected};
use super::event::{Seen, title};
use super::params::told;
use super::watched::losses;
use crate::checks::Slice;
use crate::history::{BEGINS, Capture, Event, SinspSaid, Statement};

/// A case of which both sides are known.
pub(super) struct Story<'a> {
    /// All events of the case, in the order of arrival.
    pub(super) stream: Vec<Seen<'a>>,
    /// Every event that has to come, with the one that did.
    pub(super) pairs: Vec<Pair<'a>>,
    /// Events of those who stated something, of kinds that they state, that nothing explains.
    pub(super) surplus: Vec<Seen<'a>>,
    /// Events of threads that stated nothing.
    pub(super) strangers: Vec<Seen<'a>>,
    /// Events that came again, under a number that was there already.
    pub(super) doubles: Vec<Seen<'a>>,
}

/// An event that has to come, and what came.
pub(super) struct Pair<'a> {
    /// The call.
    pub(super) statement: &'a Statement,
    /// What begins the statements of its thread: it tells of the program.
    pub(super) begins: Option<&'a Statement>,
    /// What has to come.
    pub(super) expected: Expected,
    /// What did.
    pub(super) seen: Option<Seen<'a>>,
}

impl<'a> Story<'a> {
    /// Of a case; an error says what is missing.
    pub(super) fn of(slice: &Slice<'a>) -> Result<Self, String> {
        let capture = capture(slice).ok_or("no events were being captured when the case began")?;
        if let Some(unknown) = &capture.unknown {
            return Err(format!("what the program prints cannot be judged: {unknown}"));
        }
        let generation = Generation::of(capture).ok_or_else(|| {
            let (api, schema) = [&capture.api, &capture.schema].map(|of| of.as_deref().unwrap_or("?")).into();
            format!(
                "which events a driver of API {api}, schema {schema} gives is not known; known are {}",
                Versions::known()
            )
        })?;
        let statements = statements(slice);
        if statements.is_empty() {
            return Err("the traffic program stated nothing".into());
        }
        let stream = stream(slice, capture);
        if stream.iter().any(|seen| !seen.tells_thread()) && threads_of_one_process(&statements) {
            return Err("several threads of a process made calls, and the program does not tell which".into());
        }
        let mut story =
            Self { stream, pairs: Vec::new(), surplus: Vec::new(), strangers: Vec::new(), doubles: Vec::new() };
        let events = story.without_doubles();
        let backlogs = backlogs(&statements);
        let mut threads: BTreeMap<u32, Vec<&Statement>> = BTreeMap::new();
        for statement in &statements {
            threads.entry(statement.process.tid).or_default().push(statement);
        }
        let known: HashSet<u64> = threads.keys().map(|tid| u64::from(*tid)).collect();
        for (tid, statements) in threads {
            let own: Vec<Seen<'a>> = events.iter().filter(|seen| seen.tid == Some(tid.into())).copied().collect();
            story.compare(&statements, &own, &backlogs, generation);
        }
        let strange =
            |seen: &&Seen<'a>| seen.tid.is_none_or(|tid| !known.contains(&tid)) && WATCHED.contains(&seen.name);
        story.strangers = events.iter().filter(strange).copied().collect();
        // Where one was lost, those around it may be taken for each other.
        match story.pairs.iter().find(|pair| pair.seen.is_none()) {
            Some(Pair { statement, expected, .. }) if losses(slice).is_none() => Err(format!(
                "`{}` of {} has not come, and the program does not tell what the driver lost",
                title(Some(expected.enters), expected.name),
                told(statement)
            )),
            _ => Ok(story),
        }
    }

    /// The pairs in which something came.
    pub(super) fn matched(&self) -> impl Iterator<Item = (&Pair<'a>, Seen<'a>)> {
        self.pairs.iter().filter_map(|pair| Some((pair, pair.seen?)))
    }

    /// The stream in the order of numbers, without what came twice.
    fn without_doubles(&mut self) -> Vec<Seen<'a>> {
        let mut numbers = HashSet::new();
        let mut events = Vec::new();
        for seen in &self.stream {
            if seen.num.is_none_or(|num| numbers.insert(num)) {
                events.push(*seen);
            } else {
                self.doubles.push(*seen);
            }
        }
        events.sort_by_key(|seen| seen.num);
        events
    }

    /// Lays the statements of a thread beside its events.
    fn compare(
        &mut self,
        statements: &[&'a Statement],
        events: &[Seen<'a>],
        backlogs: &HashMap<(u32, i64), i64>,
        generation: Generation,
    ) {
        let mut wanted = Vec::new();
        let mut begins = None;
        for statement in statements {
            if is_beginning(statement) {
                begins = Some(*statement);
            }
            let backlog = statement.with.fd.and_then(|fd| backlogs.get(&(statement.process.tgid.0, fd)).copied());
            for expected in expected(statement, backlog, generation).unwrap_or_default() {
                wanted.push(Pair { statement, begins, expected, seen: None });
            }
        }
        let tells_end = wanted.iter().any(|pair| pair.expected.name == "procexit");
        let relevant = |seen: &&Seen<'a>| WATCHED.contains(&seen.name) || (tells_end && seen.name == "procexit");
        let events: Vec<Seen<'a>> = events.iter().filter(relevant).copied().collect();
        let partners = align(&wanted, &events);
        let mut taken = HashSet::new();
        for (pair, partner) in wanted.iter_mut().zip(&partners) {
            pair.seen = partner.map(|at| events[at]);
            taken.extend(partner.iter().copied());
        }
        // What a program does before it begins to state, and after it has ended to, is its own business.
        let first = taken.iter().min().copied().unwrap_or(0);
        let last = taken.iter().max().copied().unwrap_or(0);
        let mut starting = false;
        for (at, seen) in events.iter().enumerate() {
            let number = |name: &str| {
                let param = seen.params().into_iter().find(|param| param.name == name)?;
                param.text.parse::<i64>().ok()
            };
            if number("fd") == Some(BEGINS) {
                starting = false;
            }
            if !starting && at > first && at < last && !taken.contains(&at) {
                self.surplus.push(*seen);
            }
            // The loader of a new program opens and closes files.
            if seen.name == "execve" && seen.enters != Some(true) && number("res") == Some(0) {
                starting = true;
            }
        }
        self.pairs.extend(wanted);
    }
}

fn threads_of_one_process(statements: &[&Statement]) -> bool {
    let mut first = HashMap::new();
    statements.iter().any(|Statement { process, .. }| *first.entry(process.tgid).or_insert(process.tid) != process.tid)
}

fn is_beginning(statement: &Statement) -> bool {
    statement.call == "close" && statement.with.fd == Some(BEGINS)
}

/// The capture that was under way when the case began.
pub(super) fn capture<'a>(slice: &Slice<'a>) -> Option<&'a Capture> {
    slice.records.iter().rev().filter(|record| record.at <= slice.begin).find_map(|record| match &record.event {
        Event::Sinsp(SinspSaid::Started(capture)) => Some(capture),
        _ => None,
    })
}

/// What was stated in the case, each thread's in the order of its calls.
pub(super) fn statements<'a>(slice: &Slice<'a>) -> Vec<&'a Statement> {
    let stated = slice.own().iter().filter_map(|record| match &record.event {
        Event::Stated(statement) => Some(&**statement),
        _ => None,
    });
    let mut stated: Vec<&Statement> = stated.collect();
    stated.sort_by_key(|statement| statement.before);
    stated
}

/// All events of the case, in the order of arrival.
pub(super) fn stream<'a>(slice: &Slice<'a>, capture: &Capture) -> Vec<Seen<'a>> {
    let events = slice.own().iter().filter_map(|record| match &record.event {
        Event::Sinsp(SinspSaid::Event(event)) => Some(event),
        _ => None,
    });
    events.map(|event| Seen::of(event, capture.format)).collect()
}

/// How long the queues of listeners may be, by process and descriptor.
fn backlogs(statements: &[&Statement]) -> HashMap<(u32, i64), i64> {
    let listens = statements.iter().filter(|statement| statement.call == "listen" && statement.result == Some(0));
    listens
        .filter_map(|statement| Some(((statement.process.tgid.0, statement.with.fd?), statement.with.backlog?)))
        .collect()
}

/// For each event that has to come the place of the one that is it: in order, as many as possible, and of several of the
/// same name those whose parameters fit.
fn align(wanted: &[Pair<'_>], events: &[Seen<'_>]) -> Vec<Option<usize>> {
    let score = |pair: &Pair<'_>, seen: &Seen<'_>| {
        let direction = seen.enters.is_none_or(|enters| enters == pair.expected.enters);
        if !direction || seen.name != pair.expected.name {
            return 0_u32;
        }
        let params = seen.params();
        let fits = |(name, expect): &(&str, super::expect::Expect)| {
            params.iter().any(|param| param.name == *name && expect.holds(param))
        };
        10 + pair.expected.params.iter().filter(|param| fits(param)).count() as u32
    };
    let (rows, columns) = (wanted.len(), events.len());
    // best[row][column]: of what is left from there on.
    let mut best = vec![vec![0_u32; columns + 1]; rows + 1];
    let mut scores = vec![vec![0_u32; columns]; rows];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            let own = score(&wanted[row], &events[column]);
            scores[row][column] = own;
            let both = if own > 0 { own + best[row + 1][column + 1] } else { 0 };
            best[row][column] = both.max(best[row + 1][column]).max(best[row][column + 1]);
        }
    }
    let mut partners = vec![None; rows];
    let (mut row, mut column) = (0, 0);
    while row < rows && column < columns {
        let own = scores[row][column];
        if own > 0 && best[row][column] == own + best[row + 1][column + 1] {
            partners[row] = Some(column);
            (row, column) = (row + 1, column + 1);
        } else if best[row][column] == best[row + 1][column] {
            row += 1;
        } else {
            column += 1;
        }
    }
    partners
}
