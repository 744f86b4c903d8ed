//! Did the conversations of handlers go as they should?

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::reports::{Exchange, Talker};
use super::slice::{Connect, Op, Slice};
use super::verdict::{Finding, Verdict};
use crate::history::{ConnectionEnd, Event, HandlerEnd, HandlerStep, OpId, Outcome};

/// Every handler of the case came to the end of its scenario, and every reply was as it expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversations {
    /// How many handlers there must be at the least.
    pub at_least: u64,
}

/// So many steps of a handler are shown before the one that failed.
const SHOWN: usize = 10;

impl Conversations {
    /// Judges every handler.
    pub fn judge(&self, slice: &Slice<'_>) -> Verdict {
        let exchange = Exchange::of(slice);
        let mut verdicts: Vec<Verdict> =
            exchange.talkers.iter().map(|(handler, talker)| judge(slice, *handler, talker)).collect();
        let began = exchange.talkers.len() as u64;
        if began < self.at_least.max(1) {
            verdicts.push(Verdict::unknown(format!("{began} of {} handlers began", self.at_least)));
        }
        let failed = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Fail(_))).count();
        match Verdict::worst(&verdicts) {
            Verdict::Fail(mut finding) if failed > 1 => {
                finding.around.push(format!("and {} other conversations failed", failed - 1));
                Verdict::Fail(finding)
            }
            other => other,
        }
    }
}

fn judge(slice: &Slice<'_>, handler: u64, talker: &Talker<'_>) -> Verdict {
    let fail =
        |expected: String, seen: String| Verdict::Fail(Finding { expected, seen, around: steps(slice, handler) });
    match (talker.ended, talker.failed) {
        (_, Some((place, expected, seen))) => fail(format!("{expected} (`{}`, {place})", talker.name), seen.to_owned()),
        (Some(HandlerEnd::Done), None) => Verdict::Pass,
        (Some(HandlerEnd::Broken { reason }), None) => {
            Verdict::unknown(format!("the handler `{}` could not be carried out: {reason}", talker.name))
        }
        (Some(ended), None) => fail(
            format!("the handler `{}` to come to its end", talker.name),
            format!("its process {} {ended}", talker.pid),
        ),
        (None, None) => Verdict::unknown(format!("the handler `{}` never ended: the case was cut short", talker.name)),
    }
}

/// The connects of handlers that succeeded or were refused, as operations that did nothing else.
pub(super) fn connects<'a>(slice: &Slice<'a>) -> Vec<Op<'a>> {
    static OK: Outcome = Outcome::Ok;
    static REFUSED: Outcome = Outcome::Refused;
    let mut targets = HashMap::new();
    let mut connects = Vec::new();
    for record in slice.own() {
        let Event::Handler(handling) = &record.event else { continue };
        let (began, local, error) = match &handling.step {
            HandlerStep::Start { target, .. } => {
                targets.insert(handling.handler, *target);
                continue;
            }
            HandlerStep::Connect { began, local, error, .. } => (*began, *local, error),
            _ => continue,
        };
        let outcome = match error {
            None => &OK,
            // ECONNREFUSED; what timed out says nothing of who listens.
            Some(error) if error.ends_with("(os error 111)") => &REFUSED,
            Some(_) => continue,
        };
        let Some(target) = targets.get(&handling.handler) else { continue };
        connects.push(Op {
            op: OpId(handling.handler),
            group: "",
            client: "handler",
            target: *target,
            planned: 0,
            head: "",
            start: began,
            connect: Some(Connect { began, returned: record.at, outcome, local }),
            first_byte: None,
            silence: None,
            end: None,
        });
    }
    connects
}

/// The last steps of a handler, a line each.
fn steps(slice: &Slice<'_>, handler: u64) -> Vec<String> {
    let own = slice.own().iter().filter_map(|record| match &record.event {
        Event::Handler(handling) if handling.handler == handler => {
            let ms = record.at.ms_after(slice.begin);
            line(&handling.step).map(|line| format!("{ms:+.3} ms {line}"))
        }
        _ => None,
    });
    let mut steps: Vec<String> = own.collect();
    let surplus = steps.len().saturating_sub(SHOWN);
    steps.split_off(surplus)
}

/// A step of a conversation, in one line; none where it is not part of the exchange.
pub fn line(step: &HandlerStep) -> Option<String> {
    Some(match step {
        HandlerStep::Connect { connection, local: Some(local), .. } => format!("[{connection}] connected from {local}"),
        HandlerStep::Connect { connection, error, .. } => {
            format!("[{connection}] not connected: {}", error.as_deref().unwrap_or_default())
        }
        HandlerStep::Sent { connection, bytes, head } => format!("[{connection}] -> {bytes:>5}  \"{head}\""),
        HandlerStep::Received { connection, bytes, head } => format!("[{connection}] <- {bytes:>5}  \"{head}\""),
        HandlerStep::Expects { connection, report, .. } => format!("[{connection}] report    {report}"),
        HandlerStep::Over { connection, how } => {
            let how = match how {
                ConnectionEnd::Eof => "closed by the system",
                ConnectionEnd::Reset => "reset by the system",
                ConnectionEnd::Closed => "closed by us",
                ConnectionEnd::Aborted => "reset by us",
            };
            format!("[{connection}] {how}")
        }
        HandlerStep::Start { .. } | HandlerStep::Failed { .. } | HandlerStep::End { .. } => return None,
    })
}
