//! Events laid beside the calls that they are of: presence, parameters, process, order, time.

use std::collections::HashMap;

use serde_json::Value;

use super::event::{Seen, title};
use super::story::Story;
use crate::checks::verdict::Verdict;
use crate::history::{Address, Statement};

/// Every call gives its events, once, and nothing else does.
pub(super) fn events(story: &Story<'_>) -> Verdict {
    if let Some(missing) = story.pairs.iter().find(|pair| pair.seen.is_none()) {
        let event = title(Some(missing.expected.enters), missing.expected.name);
        let seen = format!("thread {} has none in {} events", missing.statement.process.tid, story.stream.len());
        let own = story.stream.iter().filter(|seen| seen.tid == Some(missing.statement.process.tid.into()));
        return Verdict::fail(format!("an event `{event}` for {}", told(missing.statement)), seen)
            .with_records(own.map(Seen::title).take(40).collect());
    }
    let no_call = |seen: &Seen<'_>, what: &str| {
        Verdict::fail("an event for each call, and no other", format!("`{}` {what}", seen.title()))
            .with_records(vec![seen.told()])
    };
    if let Some(double) = story.doubles.first() {
        return no_call(double, &format!("came twice, with the number {}", double.num.unwrap_or(0)));
    }
    if let Some(surplus) = story.surplus.first() {
        return no_call(surplus, "is of no call that the traffic program made");
    }
    if let Some(stranger) = story.strangers.first() {
        let tid = stranger.tid.map_or_else(|| "no thread".into(), |tid| format!("thread {tid}"));
        return no_call(stranger, &format!("is said to be of {tid}, which made no call"));
    }
    anything_seen(story)
}

/// Every parameter is there, in its place, and right.
pub(super) fn parameters(story: &Story<'_>) -> Verdict {
    for (pair, seen) in story.matched() {
        let params = seen.params();
        for (name, expect) in &pair.expected.params {
            let found = params.iter().find(|param| param.name == *name);
            if found.is_some_and(|param| expect.holds(param)) {
                continue;
            }
            let expected = format!("{name} = {} in `{}` of {}", expect.told(), seen.title(), told(pair.statement));
            let text = found.map_or_else(|| "no such parameter".into(), |param| shown(&param.text, param.value));
            return Verdict::fail(expected, format!("{name}: {text}")).with_records(vec![seen.told()]);
        }
        if let Some(wrong) = other_connection(pair.statement, &seen) {
            return wrong;
        }
        let wanted: Vec<&str> = pair.expected.params.iter().map(|(name, _)| *name).collect();
        let names: Vec<&str> = params.iter().map(|param| param.name).collect();
        if pair.expected.complete && wanted != names {
            let expected = format!("the parameters {wanted:?} in `{}` of {}", seen.title(), told(pair.statement));
            return Verdict::fail(expected, format!("{names:?}")).with_records(vec![seen.told()]);
        }
    }
    anything_seen(story)
}

/// Whether a descriptor over which something was sent or received is told to be another connection.
fn other_connection(statement: &Statement, seen: &Seen<'_>) -> Option<Verdict> {
    let transfers = matches!(&*statement.call, "sendto" | "recvfrom") && statement.result >= Some(0);
    let (Some(Address::Inet(local)), Some(Address::Inet(peer))) = (&statement.with.local, &statement.with.peer) else {
        return None;
    };
    let name = seen.fd_name().filter(|_| transfers)?;
    let (local, peer) = (format!("{}:{}", local.ip(), local.port()), format!("{}:{}", peer.ip(), peer.port()));
    let (made, accepted) = (format!("{local}->{peer}"), format!("{peer}->{local}"));
    if name == made || name == accepted {
        return None;
    }
    let expected = format!("the descriptor to be {made} in `{}` of {}", seen.title(), told(statement));
    Some(Verdict::fail(expected, format!("`{name}`")).with_records(vec![seen.told()]))
}

/// Every event names the process that made the call: its number, its parent's, its name, its program and its arguments.
pub(super) fn process(story: &Story<'_>) -> Verdict {
    let mut checked = 0;
    for (pair, seen) in story.matched() {
        let process = &pair.statement.process;
        let is = |field: &str, wanted: &[String]| -> Result<usize, Verdict> {
            let Some(found) = seen.process(field) else { return Ok(0) };
            let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
            if wanted.contains(&text) {
                return Ok(1);
            }
            let expected = format!("{field} {} in `{}` of {}", wanted.join(" or "), seen.title(), told(pair.statement));
            Err(Verdict::fail(expected, text).with_records(vec![seen.told()]))
        };
        // The exit of a program's execution is the new program's already.
        let changes = pair.statement.call == "execve" && pair.statement.result == Some(0);
        let outcome = (|| {
            checked += is("pid", &[process.tgid.to_string()])?;
            checked += is("ppid", &[pair.statement.parent.to_string()])?;
            is("container", &["host".into()])?;
            if changes {
                return Ok(());
            }
            checked += is("name", &[process.comm.to_string()])?;
            if let Some(begins) = pair.begins.map(|begins| &begins.with) {
                let paths: Vec<String> =
                    [&begins.program, &begins.executed_as].into_iter().flatten().cloned().collect();
                checked += is("exe", &paths)?;
                let words =
                    begins.arguments.iter().flatten().fold(process.comm.to_string(), |line, word| line + " " + word);
                checked += is("command", &[words])?;
            }
            Ok(())
        })();
        if let Err(verdict) = outcome {
            return verdict;
        }
    }
    if checked == 0 {
        return Verdict::unknown("no event names a process");
    }
    Verdict::Pass
}

/// Numbers grow in the order of arrival, and the times of a thread never go back.
pub(super) fn order(story: &Story<'_>) -> Verdict {
    let mut last: Option<&Seen<'_>> = None;
    let mut threads: HashMap<u64, &Seen<'_>> = HashMap::new();
    for seen in &story.stream {
        if let (Some(last), Some(num)) = (last, seen.num)
            && last.num.is_some_and(|last| num < last)
        {
            let (before, after) = (last.num.unwrap_or(0), num);
            let line = format!("`{}` number {after} after `{}` number {before}", seen.title(), last.title());
            return Verdict::fail("events in the order of their numbers", line)
                .with_records(vec![last.told(), seen.told()]);
        }
        last = Some(seen);
        let Some(tid) = seen.tid else { continue };
        if let Some(earlier) = threads.insert(tid, seen)
            && seen.event.happened < earlier.event.happened
        {
            let line = format!("`{}` of thread {tid} is earlier than `{}` before it", seen.title(), earlier.title());
            return Verdict::fail("the times of a thread in order", line)
                .with_records(vec![earlier.told(), seen.told()]);
        }
    }
    if story.stream.iter().all(|seen| seen.num.is_none()) {
        return Verdict::unknown("no event has a number");
    }
    anything_seen(story)
}

/// Every event lies between the moments right before and right after its call, give or take what is not known of the clocks.
pub(super) fn times(story: &Story<'_>) -> Verdict {
    let mut checked = 0;
    for (pair, seen) in story.matched() {
        let Some((earliest, latest)) = seen.span() else { continue };
        checked += 1;
        let Statement { before, after, .. } = pair.statement;
        let off = if latest < *before {
            latest.ms_after(*before)
        } else if let Some(after) = after.filter(|after| earliest > *after) {
            earliest.ms_after(after)
        } else {
            continue;
        };
        let when = if off < 0.0 { "before it began" } else { "after it was over" };
        let expected = format!("`{}` during {}", seen.title(), told(pair.statement));
        return Verdict::fail(
            expected,
            format!("{:.3} ms {when}, with clocks known to {} ns", off.abs(), seen.event.give_or_take_ns),
        )
        .with_records(vec![seen.told()]);
    }
    if checked == 0 {
        Verdict::unknown("no event that belongs to a call tells when it happened")
    } else {
        Verdict::Pass
    }
}

fn anything_seen(story: &Story<'_>) -> Verdict {
    if story.matched().next().is_none() {
        return Verdict::unknown("no event came that belongs to a call");
    }
    Verdict::Pass
}

fn shown(text: &str, value: Option<&Value>) -> String {
    match value {
        Some(value) => format!("`{text}` (value {value})"),
        None => format!("`{text}`"),
    }
}

/// A call as people read it.
pub(super) fn told(statement: &Statement) -> String {
    let fd = statement.with.fd.map(|fd| format!("fd {fd}")).unwrap_or_default();
    let result = statement.result.map(|result| format!(" = {result}")).unwrap_or_default();
    let Statement { call, process, .. } = statement;
    format!("{call}({fd}){result} by {}[{}]", process.comm, process.tid)
}
