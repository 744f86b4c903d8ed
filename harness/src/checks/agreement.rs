//! Do two witnesses tell the same of every system call? eBPF's records are compared with those of the scap module.
//!
//! Both have their hooks at the same two places of a call, so what is true of one is true of the other: the entry before the
//! exit, both before the thread's next call. That order, and not a number of milliseconds, says whether two times can be
//! those of one call: a hook that is held up holds up its thread.

mod calls;
mod ends;
mod join;

use serde::{Deserialize, Serialize};

use self::calls::{Call, Sockets, Thread, threads};
use self::ends::Closed;
use self::join::{Joined, join};
use super::coverage;
use super::slice::{Slice, describe};
use super::verdict::{Finding, Verdict};
use crate::clock::Timestamp;
use crate::history::{Event, ObserverChange, Record, Source};

/// What the two agree on in a case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Agreed {
    /// Calls of which both tell, and tell the same.
    pub calls: u64,
    /// Of these, the calls of which both tell both ends of the connection.
    #[serde(default)]
    pub ends: u64,
    /// close_range(2) calls, of which eBPF alone tells: API 1 of scap knows nothing of them, and API 8 neither what they close nor
    /// how they end (`f_sys_generic` in `driver/ppm_fillers.c`).
    #[serde(default)]
    pub alone: u64,
    /// The longest time between their two stamps of one moment, in ns.
    pub apart_ns: u64,
    /// How uncertain the second witness's clock was at the most, in ns.
    pub clock_ns: u64,
}

/// Beyond the uncertainty of its clock, a stamp may be off by so much: bpf_ktime_get_ns reads the clock without a lock, and may be
/// a little late when it is adjusted (kernel/time/timekeeping.c, `__ktime_get_fast_ns`, Linux 6.12).
const SLACK_NS: u64 = 20_000;

/// A clock that is off by more than this shows in every call. One call may be stamped late by one of its hooks, because an interrupt
/// or the host of a VM came in between; not each of [`ENOUGH`].
const SKEW_NS: i128 = 1_000_000;
const ENOUGH: usize = 8;

/// The last and the first call that a thread makes in a case may be on their way between the two hooks as it ends or begins.
const EDGE_NS: u64 = 250_000_000;

/// What scap lost of clones alone: it finds the processes in /proc, or says that it does not know a thread.
const BIRTHS: &str = "scap (memory not there)";

/// A clock that is less certain than this was set meanwhile.
const CERTAIN_NS: u64 = 1_000_000;

/// After the system's time was set, a second witness that stamps by it takes so long to be certain again: a second, and time to read
/// its rings.
const UNSETTLED_NS: u64 = 2_000_000_000;

/// Pass when there was something to compare and all of it is alike.
pub fn judge(slice: &Slice<'_>) -> Verdict {
    match compare(slice) {
        Ok(_) => Verdict::Pass,
        Err(verdict) => verdict,
    }
}

/// What the witnesses agree on, or the verdict when they do not, or when that cannot be told.
pub fn compare(slice: &Slice<'_>) -> Result<Agreed, Verdict> {
    let end = two_witnesses(slice).map_err(Verdict::unknown)?;
    let span = Span { begin: slice.begin, end };
    let threads = threads(slice.records);
    let sockets = Sockets::by_ebpf(slice.records);
    let closed = Closed::by_ebpf(slice.records);
    let mut agreed = Agreed::default();
    let mut differences = Vec::new();
    let mut gaps = Vec::new();
    for thread in &threads {
        let joined = join(thread);
        differences.extend(joined.differences(thread, &sockets, &closed, span));
        agreed.alone += thread.ranges.iter().filter(|at| span.contains(**at)).count() as u64;
        for (ours, theirs) in &joined.pairs {
            if span.contains(ours.exit) {
                agreed.calls += 1;
                agreed.ends += u64::from(ours.call.tuple.is_some() && theirs.call.tuple.is_some());
                agreed.clock_ns = agreed.clock_ns.max(theirs.uncertainty_ns);
                gaps.push(theirs.exit.ns_after(ours.exit));
            }
        }
    }
    differences.extend(skew(&gaps, agreed.clock_ns, slice.begin));
    differences.sort_by_key(|difference| difference.at);
    if let Some(first) = differences.first() {
        let more = match differences.len() - 1 {
            0 => String::new(),
            more => format!("; and {more} more such calls"),
        };
        return Err(Verdict::Fail(Finding {
            expected: "both witnesses to tell the same of every system call".into(),
            seen: format!("{}{more}", first.text),
            around: around(slice, first),
        }));
    }
    if agreed.calls == 0 {
        return Err(Verdict::unknown(
            "neither witness told of a system call in the case: there was nothing to compare",
        ));
    }
    agreed.apart_ns = gaps.iter().map(|gap| gap.unsigned_abs() as u64).max().unwrap_or(0);
    Ok(agreed)
}

/// The part of the case of which both know everything.
#[derive(Clone, Copy, Debug)]
struct Span {
    begin: Timestamp,
    end: Timestamp,
}

impl Span {
    fn contains(self, at: Timestamp) -> bool {
        self.begin <= at && at <= self.end
    }
}

/// Something that the two do not agree on.
#[derive(Clone, Debug)]
struct Difference {
    at: Timestamp,
    tid: u32,
    text: String,
}

/// Until when both witnesses know everything; an error says what is missing.
fn two_witnesses(slice: &Slice<'_>) -> Result<Timestamp, String> {
    let first = coverage::witness(slice)?;
    if first.rung == "sock_diag" {
        return Err("sock_diag records no system calls: the ebpf observer would settle it".into());
    }
    let mut scap = false;
    for record in slice.records {
        match (&record.event, record.source) {
            (Event::Observer(ObserverChange::Lacks { what }), Source::Ebpf) => return Err(format!("ebpf: {what}")),
            (Event::Loss { probe, count, .. }, Source::Ebpf) if record.at >= slice.begin => {
                return Err(format!("{count} records of {probe} were lost: a larger ring buffer would have kept them"));
            }
            // It is uncertain when things happened for a while after that.
            (Event::Observer(ObserverChange::Lacks { what }), Source::Scap)
                if record.at.0.saturating_add(UNSETTLED_NS) >= slice.begin.0 =>
            {
                return Err(format!("the second witness: {what}"));
            }
            (Event::Syscall(_), Source::Scap) if record.uncertainty_ns > CERTAIN_NS && record.at >= slice.begin => {
                let ms = record.uncertainty_ns as f64 / 1e6;
                return Err(format!(
                    "scap's times are uncertain by {ms:.3} ms: the system's time was set; do not set it"
                ));
            }
            (Event::Observer(ObserverChange::Started { .. }), Source::Scap) if record.at <= slice.begin => scap = true,
            (Event::Observer(ObserverChange::Died { reason }), Source::Scap) => {
                return Err(format!("the second witness died: {reason}"));
            }
            (Event::Observer(ObserverChange::Stopped), Source::Scap) => {
                return Err("the second witness was stopped before the end".into());
            }
            // Also before the case: whom it follows is not certain after that.
            (Event::Loss { probe, count, .. }, Source::Scap) if probe != BIRTHS => {
                return Err(format!("the second witness lost {count} events: {probe}"));
            }
            _ => {}
        }
    }
    if !scap {
        return Err("no second witness was watching when the case began: `--second-witness scap`".into());
    }
    let first = coverage::fence(slice, |source| source == Source::Ebpf)?;
    let second = coverage::fence(slice, |source| source == Source::Scap)
        .map_err(|reason| format!("the second witness: {reason}"))?;
    Ok(first.min(second))
}

/// Whether all stamps of the second witness are off to one side.
fn skew(gaps: &[i128], clock_ns: u64, at: Timestamp) -> Option<Difference> {
    let bound = SKEW_NS + i128::from(clock_ns);
    let side = |late: bool| gaps.iter().map(|gap| if late { *gap } else { -gap }).min().filter(|least| *least > bound);
    let (least, word) =
        side(true).map(|least| (least, "after")).or_else(|| side(false).map(|least| (least, "before")))?;
    let text = format!(
        "scap's times of all {} calls lie {:.3} ms or more {word} eBPF's, with a clock that is uncertain by {clock_ns} ns",
        gaps.len(),
        least as f64 / 1e6
    );
    (gaps.len() >= ENOUGH).then_some(Difference { at, tid: 0, text })
}

/// The calls of the thread around a difference, as both tell of them.
fn around(slice: &Slice<'_>, difference: &Difference) -> Vec<String> {
    let of_thread = |record: &&Record| matches!(&record.event, Event::Syscall(call) if difference.tid == 0 || call.process.tid == difference.tid);
    let mut records: Vec<&Record> = slice.records.iter().filter(of_thread).collect();
    let middle = records.partition_point(|record| record.at < difference.at);
    let first = middle.saturating_sub(6);
    records.truncate((first + 12).min(records.len()));
    records.drain(..first);
    let line = |record: &Record| {
        let who = if record.source == Source::Scap { "scap" } else { "ebpf" };
        format!("{:+.3} ms {who}: {}", record.at.ms_after(difference.at), describe(&record.event))
    };
    records.into_iter().map(line).collect()
}

impl<'a> Joined<'a> {
    /// What is not alike, within the span.
    fn differences(&self, thread: &Thread<'a>, sockets: &Sockets, closed: &Closed, span: Span) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut tell = |at, text| found.push(Difference { at, tid: thread.tid, text });
        for (ours, theirs) in self.pairs.iter().filter(|(ours, _)| span.contains(ours.exit)) {
            let mut unlike = unlike(ours, theirs);
            unlike.extend(closed.ends_unlike(ours, theirs));
            if !unlike.is_empty() {
                tell(ours.exit, format!("{}: {ours} by eBPF, {theirs} by scap", unlike.join(", ")));
            }
        }
        for (ours, theirs) in self.apart.iter().filter(|(ours, _)| span.contains(ours.exit)) {
            let ms = theirs.exit.ms_after(ours.exit);
            let text = format!(
                "the times of one call are {:.3} ms apart, and other calls of the thread lie between: {ours} by eBPF, {theirs} by \
                 scap, whose clock is uncertain by {} ns",
                ms.abs(),
                theirs.uncertainty_ns
            );
            tell(ours.exit, text);
        }
        for call in self.only_ours.iter().filter(|call| thread.is_settled(call, span)) {
            tell(call.exit, format!("scap did not tell of {call}, which eBPF saw"));
        }
        for call in self.only_theirs.iter().filter(|call| thread.is_settled(call, span)) {
            let must = !call.is_of_any_file() || sockets.closes(call);
            if must {
                tell(call.exit, format!("eBPF did not tell of {call}, which scap saw"));
            }
        }
        found
    }
}

/// What two records of one call do not have in common, in words.
fn unlike(ours: &Call<'_>, theirs: &Call<'_>) -> Vec<String> {
    let mut unlike = Vec::new();
    if ours.result != theirs.result {
        unlike.push(format!("the results differ, {} and {}", ours.result, theirs.result));
    }
    if theirs.call.fd >= 0 && ours.call.fd != theirs.call.fd {
        unlike.push(format!("the descriptors differ, {} and {}", ours.call.fd, theirs.call.fd));
    }
    let given = ["bind", "connect"].contains(&ours.class);
    if let (true, Some(one), Some(other)) = (given, ours.call.address, theirs.call.address)
        && one != other
    {
        unlike.push(format!("the endpoints differ, {one} and {other}"));
    }
    // The module makes something else of what no shutdown(2) takes.
    let told = ["listen", "shutdown"].contains(&ours.class);
    if let (true, Some(one), Some(other)) = (told, ours.call.argument, theirs.call.argument)
        && one != other
        && (ours.class == "listen" || (0..=2).contains(&one))
    {
        unlike.push(format!("the arguments differ, {one} and {other}"));
    }
    unlike
}
