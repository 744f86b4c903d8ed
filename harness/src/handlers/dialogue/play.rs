//! Carries out a dialogue: it is a [`Handler`] like any other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use regex::bytes::Regex;

use super::Dialogue;
use super::steps::{Act, Connect, Expectation, How, Http, MAIN, Matcher, Outcome, ReportSpec, Send, Split, Step};
use super::text::{Bytes, Millis, Values};
use super::variables::COUNT;
use crate::handlers::{Connection, Failure, Handler, Session, shown};
use crate::history::ConnectionEnd;

impl Handler for Dialogue {
    fn run(&self, session: &mut Session) -> Result<(), Failure> {
        let mut play =
            Play { file: self.path.display().to_string(), values: self.values(session), open: BTreeMap::new() };
        let first = self.steps.first();
        if first.is_some_and(|step| !matches!(step.act, Act::Connect(_))) {
            let place = first.map(|step| step.place.clone()).unwrap_or_default();
            let connect = Connect { report: true, outcome: Outcome::Succeeds, wait: None };
            play.connect(session, MAIN, &connect, &place)?;
        }
        play.steps(session, &self.steps)
    }
}

impl Dialogue {
    fn values(&self, session: &Session) -> Values {
        let scenario = session.scenario();
        let ip = scenario.source().map(|ip| ip.to_string()).unwrap_or_default();
        let (host, port) = (scenario.target.ip().to_string(), scenario.target.port().to_string());
        let built_in = [("marker", scenario.marker.clone()), ("host", host), ("port", port), ("ip", ip)];
        let mut values: Values = built_in.map(|(name, value)| (name.to_owned(), value)).into();
        for (name, text) in &self.variables {
            let given = session.variable(name).map(str::to_owned);
            let value = given.unwrap_or_else(|| text.fill(&values));
            values.insert(name.clone(), value);
        }
        values
    }
}

struct Play {
    file: String,
    values: Values,
    open: BTreeMap<String, Open>,
}

struct Open {
    connection: Connection,
    /// When it was last written to or read from.
    last: Instant,
}

impl Play {
    fn steps(&mut self, session: &mut Session, steps: &[Step]) -> Result<(), Failure> {
        steps.iter().try_for_each(|step| self.step(session, step))
    }

    fn step(&mut self, session: &mut Session, step: &Step) -> Result<(), Failure> {
        match &step.act {
            Act::Connect(connect) => return self.connect(session, &step.on, connect, &step.place),
            Act::Repeat { times, pipelined, steps } => return self.repeat(session, *times, *pipelined, steps),
            Act::Delay(duration) => {
                let duration = duration.fill(&self.values).map_err(|why| at_place(&self.place(step), &why))?;
                session.sleep(duration);
                return Ok(());
            }
            Act::Close | Act::Reset => {
                if let Some(open) = self.open.remove(&step.on) {
                    if matches!(step.act, Act::Close) { open.connection.close() } else { open.connection.reset() }
                }
                return Ok(());
            }
            _ => {}
        }
        let place = self.place(step);
        let times = Times::of(&step.act, &self.values).map_err(|why| at_place(&place, &why))?;
        let open = self.open.get_mut(&step.on);
        let open = open.ok_or_else(|| Failure::Broken(format!("{place}: no connection `{}` is open", step.on)))?;
        open.connection.place = Some(place);
        match &step.act {
            Act::Send(send) => {
                let bytes = send.bytes.fill(&self.values);
                write(&mut open.connection, send, &bytes, times.pause)?;
                open.last = Instant::now();
                send.reports.iter().try_for_each(|report| expects(&mut open.connection, report, &self.values))?;
            }
            Act::Expect { what, .. } => {
                let captured = expect(&mut open.connection, what, times.wait, &self.values)?;
                open.last = Instant::now();
                self.values.extend(captured);
            }
            Act::ExpectClose { how, .. } => {
                let mut open = self.open.remove(&step.on);
                return open.as_mut().map_or(Ok(()), |open| closes(open, *how, times.not_before, times.wait));
            }
            Act::Silence(_) => open.connection.silence(times.wait.unwrap_or_default())?,
            Act::HalfClose => open.connection.half_close(),
            Act::Report(report) => expects(&mut open.connection, report, &self.values)?,
            _ => {}
        }
        Ok(())
    }

    fn place(&self, step: &Step) -> String {
        format!("{}:{}", self.file, step.place)
    }

    fn connect(&mut self, session: &mut Session, on: &str, how: &Connect, place: &str) -> Result<(), Failure> {
        let wait = how.wait.as_ref().map(|wait| wait.fill(&self.values)).transpose();
        let wait = wait.map_err(|why| at_place(&format!("{}:{place}", self.file), &why))?;
        let wait = wait.unwrap_or(session.scenario().wait);
        let tried = session.try_connect(wait)?;
        let target = session.scenario().target;
        let wrong = |expected: &str, seen: String| Failure::Wrong {
            place: format!("{}:{place}", self.file),
            expected: format!("{expected} {target}"),
            seen,
        };
        match (how.outcome, tried) {
            (Outcome::Succeeds, Ok(mut connection)) => {
                if how.report {
                    connection.expects("connect", None);
                }
                self.open.insert(on.into(), Open { connection, last: Instant::now() });
                Ok(())
            }
            (Outcome::Succeeds, Err(error)) => Err(wrong("a connection to", error.to_string())),
            (Outcome::Refused, Err(error)) if error.raw_os_error() == Some(libc::ECONNREFUSED) => Ok(()),
            (Outcome::TimesOut, Err(error)) if error.raw_os_error() == Some(libc::ETIMEDOUT) => Ok(()),
            (Outcome::Refused, Err(error)) => Err(wrong("a connect to be refused by", error.to_string())),
            (Outcome::TimesOut, Err(error)) => Err(wrong("a connect to get no answer from", error.to_string())),
            (Outcome::Refused, Ok(_)) => Err(wrong("a connect to be refused by", "it succeeded".into())),
            (Outcome::TimesOut, Ok(_)) => Err(wrong("a connect to get no answer from", "it succeeded".into())),
        }
    }

    fn repeat(&mut self, session: &mut Session, times: u32, pipelined: bool, steps: &[Step]) -> Result<(), Failure> {
        let outer = self.values.get(COUNT).cloned();
        let done = if pipelined {
            self.pipeline(session, times, steps)
        } else {
            (1..=times).try_for_each(|count| {
                self.values.insert(COUNT.into(), count.to_string());
                self.steps(session, steps)
            })
        };
        match outer {
            Some(outer) => self.values.insert(COUNT.into(), outer),
            None => self.values.remove(COUNT),
        };
        done
    }

    /// Everything is sent at once, then everything is expected.
    fn pipeline(&mut self, session: &mut Session, times: u32, steps: &[Step]) -> Result<(), Failure> {
        let mut sent: BTreeMap<&str, (Vec<u8>, bool, &Step)> = BTreeMap::new();
        for count in 1..=times {
            self.values.insert(COUNT.into(), count.to_string());
            for step in steps {
                let Act::Send(send) = &step.act else { continue };
                let entry = sent.entry(&step.on).or_insert((Vec::new(), false, step));
                entry.0.extend(send.bytes.fill(&self.values));
                entry.1 |= send.may_be_cut;
            }
        }
        for (on, (bytes, may_be_cut, step)) in sent {
            let place = self.place(step);
            let Some(open) = self.open.get_mut(on) else { continue };
            open.connection.place = Some(place);
            match may_be_cut {
                true => drop(open.connection.send_until_closed(&[&bytes], Duration::ZERO)),
                false => open.connection.send(&bytes)?,
            }
            open.last = Instant::now();
        }
        let replies = |step: &&Step| !matches!(step.act, Act::Send(_));
        for count in 1..=times {
            self.values.insert(COUNT.into(), count.to_string());
            for step in steps {
                if let (Act::Send(send), Some(open)) = (&step.act, self.open.get_mut(&step.on)) {
                    send.reports.iter().try_for_each(|report| expects(&mut open.connection, report, &self.values))?;
                }
            }
        }
        for count in 1..=times {
            self.values.insert(COUNT.into(), count.to_string());
            steps.iter().filter(replies).try_for_each(|step| self.step(session, step))?;
        }
        Ok(())
    }
}

/// The times that a step names.
#[derive(Default)]
struct Times {
    wait: Option<Duration>,
    not_before: Option<Duration>,
    pause: Duration,
}

impl Times {
    fn of(act: &Act, values: &Values) -> Result<Self, String> {
        let fill = |time: &Option<Millis>| time.as_ref().map(|time| time.fill(values)).transpose();
        Ok(match act {
            Act::Expect { wait, .. } => Self { wait: fill(wait)?, ..Self::default() },
            Act::ExpectClose { wait, not_before, .. } => {
                Self { wait: fill(wait)?, not_before: fill(not_before)?, ..Self::default() }
            }
            Act::Silence(lasting) => Self { wait: Some(lasting.fill(values)?), ..Self::default() },
            Act::Send(send) => Self { pause: send.pause.fill(values)?, ..Self::default() },
            _ => Self::default(),
        })
    }
}

fn at_place(place: &str, why: &str) -> Failure {
    Failure::Broken(format!("{place}: {why}"))
}

fn expects(connection: &mut Connection, report: &ReportSpec, values: &Values) -> Result<(), Failure> {
    let text = |(key, value): &(String, Bytes)| {
        let value = String::from_utf8(value.fill(values));
        let value = value.map_err(|_| {
            let place = connection.here(String::new());
            at_place(&place, &format!("a report is text, but `{key}` is not UTF-8"))
        })?;
        Ok::<_, Failure>((key.clone(), value))
    };
    let data = report.data.as_ref().map(|data| data.iter().map(text).collect::<Result<_, _>>()).transpose()?;
    connection.expects(&report.action.fill(values), data);
    Ok(())
}

fn write(connection: &mut Connection, send: &Send, bytes: &[u8], pause: Duration) -> Result<(), Failure> {
    let parts: Vec<&[u8]> = match &send.split {
        Split::None => vec![bytes],
        Split::EveryByte => bytes.chunks(1).collect(),
        Split::At(places) => {
            let ends = places.iter().copied().filter(|at| *at < bytes.len()).chain([bytes.len()]);
            let mut from = 0;
            ends.map(|end| &bytes[std::mem::replace(&mut from, end)..end]).filter(|part| !part.is_empty()).collect()
        }
    };
    match send.may_be_cut {
        true => {
            connection.send_until_closed(&parts, pause);
            Ok(())
        }
        false => connection.send_split(&parts, pause),
    }
}

fn closes(open: &mut Open, how: How, not_before: Option<Duration>, wait: Option<Duration>) -> Result<(), Failure> {
    let connection = &mut open.connection;
    let place = connection.here(String::new());
    let ended = connection.close_at(wait.unwrap_or(connection.wait), place.clone())?;
    let after = open.last.elapsed();
    let wrong = |expected: String, seen: String| Err(Failure::Wrong { place, expected, seen });
    match (how, ended) {
        (How::Eof, ConnectionEnd::Reset) => {
            return wrong("the connection to be closed in order".into(), "it was reset".into());
        }
        (How::Reset, ConnectionEnd::Eof) => {
            return wrong("the connection to be reset".into(), "it was closed in order".into());
        }
        _ => {}
    }
    match not_before {
        Some(not_before) if after < not_before => wrong(
            format!("the connection to stay open for {} ms", not_before.as_millis()),
            format!("it was closed after {} ms", after.as_millis()),
        ),
        _ => Ok(()),
    }
}

/// Reads what is expected; gives what was captured.
fn expect(
    connection: &mut Connection,
    what: &Expectation,
    wait: Option<Duration>,
    values: &Values,
) -> Result<Values, Failure> {
    let wait = wait.unwrap_or(connection.wait);
    let place = connection.here(String::new());
    let mut captured = Values::new();
    match what {
        Expectation::Literal(bytes) => connection.expect_at(&bytes.fill(values), wait, place)?,
        Expectation::Lines(lines) => {
            for line in lines {
                let known: Values = values.clone().into_iter().chain(captured.clone()).collect();
                let found = connection.line_at(wait, place.clone(), describe(line, &known, "the line "))?;
                captured.extend(matches(line, &found, &known, &place, "the line ")?);
            }
        }
        Expectation::Until { end, what } => {
            let found = connection.until_at(&end.fill(values), wait, place.clone())?;
            captured.extend(matches(what, &found, values, &place, "")?);
        }
        Expectation::Length { length, what } => {
            let found = connection.exactly_at(*length, wait, place.clone())?;
            captured.extend(matches(what, &found, values, &place, "")?);
        }
        Expectation::Http(http) => captured.extend(response(connection, http, wait, values, place)?),
    }
    Ok(captured)
}

fn response(
    connection: &mut Connection,
    http: &Http,
    wait: Duration,
    values: &Values,
    place: String,
) -> Result<Values, Failure> {
    let found = connection.http_at(http.body_length, wait, place.clone())?;
    let wrong = |what: &str, expected: String, seen: String| {
        let (expected, seen) = (format!("{what} {expected}"), format!("it is {seen}"));
        Err(Failure::Wrong { place: place.clone(), expected, seen })
    };
    if found.status != http.status {
        return wrong("the status", http.status.to_string(), format!("{} {}", found.status, found.reason));
    }
    if let Some(reason) = http.reason.as_ref().map(|reason| reason.fill(values)).filter(|it| *it != found.reason) {
        return wrong("the reason", reason, found.reason);
    }
    if let Some(length) = http.content_length.filter(|length| found.content_length() != Some(*length)) {
        return wrong("the Content-Length", length.to_string(), format!("{:?}", found.header("content-length")));
    }
    let mut captured = Values::new();
    for (name, value) in &http.headers {
        let Some(there) = found.header(name) else {
            return wrong("the header", name.clone(), "missing".into());
        };
        captured.extend(matches(value, there.as_bytes(), values, &place, &format!("the header {name} "))?);
    }
    captured.extend(matches(&http.body, &found.body, values, &place, "the body ")?);
    Ok(captured)
}

fn describe(matcher: &Matcher, values: &Values, what: &str) -> String {
    match matcher {
        Matcher::Anything => format!("{what}anything"),
        Matcher::Is(bytes) => format!("{what}\"{}\"", shown(&bytes.fill(values))),
        Matcher::Matches(pattern) => format!("{what}/{}/", pattern.pattern(values)),
    }
}

/// Compares, and gives what the named groups captured.
fn matches(matcher: &Matcher, found: &[u8], values: &Values, place: &str, what: &str) -> Result<Values, Failure> {
    let wrong = || Failure::Wrong {
        place: place.into(),
        expected: describe(matcher, values, what),
        seen: format!("\"{}\" came", shown(found)),
    };
    let pattern = match matcher {
        Matcher::Anything => return Ok(Values::new()),
        Matcher::Is(bytes) if bytes.fill(values) == found => return Ok(Values::new()),
        Matcher::Is(_) => return Err(wrong()),
        Matcher::Matches(pattern) => pattern.pattern(values),
    };
    let regex = Regex::new(&format!(r"\A(?:{pattern})\z"));
    let regex = regex.map_err(|error| Failure::Broken(format!("{place}: {error}")))?;
    let captures = regex.captures(found).ok_or_else(wrong)?;
    let names = regex.capture_names().flatten();
    let values = names.filter_map(|name| {
        let value = String::from_utf8_lossy(captures.name(name)?.as_bytes()).into_owned();
        Some((name.to_owned(), value))
    });
    Ok(values.collect())
}
