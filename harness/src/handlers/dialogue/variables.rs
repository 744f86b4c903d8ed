//! Checks before a dialogue runs that every variable is defined where it is used, and every connection open.

use std::collections::BTreeSet;

use super::Dialogue;
use super::error::{Fault, Flaw};
use super::steps::{Act, Expectation, MAIN, Matcher, Outcome, ReportSpec, Step};
use super::text::{Bytes, Millis, Text};

/// What every dialogue has.
pub(super) const BUILT_IN: [&str; 4] = ["marker", "host", "port", "ip"];
/// What steps inside of `repeat` have: the count, from 1.
pub(super) const COUNT: &str = "i";

struct Scope {
    defined: BTreeSet<String>,
    open: BTreeSet<String>,
    begun: bool,
}

pub(super) fn check(dialogue: &Dialogue) -> Result<(), Fault> {
    let defined = BUILT_IN.into_iter().map(String::from).collect();
    let mut scope = Scope { defined, open: BTreeSet::new(), begun: false };
    for (name, value) in &dialogue.variables {
        scope.text(value)?;
        scope.defined.insert(name.clone());
    }
    scope.steps(&dialogue.steps)
}

impl Scope {
    fn steps(&mut self, steps: &[Step]) -> Result<(), Fault> {
        steps.iter().try_for_each(|step| self.step(step))
    }

    fn step(&mut self, step: &Step) -> Result<(), Fault> {
        let needs = !matches!(step.act, Act::Connect(_) | Act::Delay(_) | Act::Repeat { .. });
        // A dialogue that does not connect by itself has one connection from the beginning.
        if needs && !self.begun && step.on == MAIN {
            self.open.insert(MAIN.into());
        }
        self.begun |= needs || matches!(step.act, Act::Connect(_));
        if needs && !self.open.contains(&step.on) {
            return Err(Fault::new(step.span.clone(), Flaw::NotConnected { name: step.on.clone() }));
        }
        match &step.act {
            Act::Connect(connect) => {
                self.times([&connect.wait])?;
                if connect.outcome == Outcome::Succeeds && !self.open.insert(step.on.clone()) {
                    return Err(Fault::new(step.span.clone(), Flaw::ConnectedTwice { name: step.on.clone() }));
                }
                Ok(())
            }
            Act::Send(send) => {
                self.bytes(&send.bytes)?;
                send.pause.text().map_or(Ok(()), |text| self.text(text))?;
                send.reports.iter().try_for_each(|report| self.report(report))
            }
            Act::Expect { what, wait } => {
                self.times([wait])?;
                self.expectation(what)
            }
            Act::Report(report) => self.report(report),
            Act::ExpectClose { not_before, wait, .. } => {
                self.open.remove(&step.on);
                self.times([not_before, wait])
            }
            Act::Close | Act::Reset => {
                self.open.remove(&step.on);
                Ok(())
            }
            Act::Silence(time) | Act::Delay(time) => time.text().map_or(Ok(()), |text| self.text(text)),
            Act::HalfClose => Ok(()),
            Act::Repeat { steps, .. } => {
                let outer = self.defined.insert(COUNT.into());
                self.steps(steps)?;
                if outer {
                    self.defined.remove(COUNT);
                }
                Ok(())
            }
        }
    }

    fn expectation(&mut self, what: &Expectation) -> Result<(), Fault> {
        match what {
            Expectation::Literal(bytes) => self.bytes(bytes),
            Expectation::Lines(lines) => lines.iter().try_for_each(|line| self.matcher(line)),
            Expectation::Until { end, what } => {
                self.bytes(end)?;
                self.matcher(what)
            }
            Expectation::Length { what, .. } => self.matcher(what),
            Expectation::Http(http) => {
                http.reason.iter().try_for_each(|reason| self.text(reason))?;
                http.headers.iter().try_for_each(|(_, value)| self.matcher(value))?;
                self.matcher(&http.body)
            }
        }
    }

    fn matcher(&mut self, matcher: &Matcher) -> Result<(), Fault> {
        match matcher {
            Matcher::Anything => Ok(()),
            Matcher::Is(bytes) => self.bytes(bytes),
            Matcher::Matches(pattern) => {
                self.text(pattern)?;
                let captured = regex::bytes::Regex::new(&pattern.sample());
                let names = captured.iter().flat_map(|regex| regex.capture_names().flatten());
                self.defined.extend(names.map(String::from));
                Ok(())
            }
        }
    }

    fn report(&self, report: &ReportSpec) -> Result<(), Fault> {
        self.text(&report.action)?;
        report.data.iter().flatten().try_for_each(|(_, value)| self.bytes(value))
    }

    fn times<'t>(&self, times: impl IntoIterator<Item = &'t Option<Millis>>) -> Result<(), Fault> {
        times.into_iter().flatten().filter_map(Millis::text).try_for_each(|text| self.text(text))
    }

    fn bytes(&self, bytes: &Bytes) -> Result<(), Fault> {
        bytes.texts().into_iter().try_for_each(|text| self.text(text))
    }

    fn text(&self, text: &Text) -> Result<(), Fault> {
        let stranger = text.variables().find(|name| !self.defined.contains(*name));
        let known = || self.defined.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        match stranger {
            None => Ok(()),
            Some(name) => Err(Fault::new(text.span.clone(), Flaw::Undefined { name: name.into(), known: known() })),
        }
    }
}
