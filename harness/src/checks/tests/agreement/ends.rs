//! Both ends of connections that are told alike, that differ, or that cannot be told; and what close_range(2) closes.

use super::*;
use crate::checks::agreement;

/// What becomes of a call of which the two tell these ends.
fn with_ends(call: Made, ours: Option<(&'static str, &'static str)>, theirs: (&'static str, &'static str)) -> Verdict {
    let mut calls = served();
    calls.push(Made { ends: [ours, Some(theirs)], ..call });
    judged(told(&calls, &calls))
}

#[test]
fn ends_of_connections_that_differ_are_named() {
    let accept = || made("accept4", 3, 9, 3_500_000);
    let true_ends = ("127.0.0.1:80", "127.0.0.1:5000");
    assert_eq!(with_ends(accept(), Some(true_ends), true_ends), Verdict::Pass);
    assert_eq!(with_ends(accept(), Some(("[::ffff:127.0.0.1]:80", "127.0.0.1:5000")), true_ends), Verdict::Pass);
    assert_eq!(with_ends(accept(), None, ("127.0.0.1:80", "127.0.0.1:6000")), Verdict::Pass, "eBPF does not know");
    for theirs in [
        ("127.0.0.1:80", "127.0.0.1:5001"),
        ("127.0.0.1:81", "127.0.0.1:5000"),
        ("127.0.0.1:80", "127.0.0.2:5000"),
        ("127.0.0.1:5000", "127.0.0.1:80"),
        ("[::1]:80", "127.0.0.1:5000"),
    ] {
        let words = format!("the endpoints differ, 127.0.0.1:80 <-> 127.0.0.1:5000 and {} <-> {}", theirs.0, theirs.1);
        says(&with_ends(accept(), Some(true_ends), theirs), "fail", &words);
    }
}

#[test]
fn a_connect_that_was_refused_has_the_other_end_that_it_asked_for() {
    let refused = || Made { address: Some("10.0.0.1:80"), ..made("connect", 9, -111, 3_500_000) };
    assert_eq!(with_ends(refused(), None, ("0.0.0.0:4000", "10.0.0.1:80")), Verdict::Pass);
    says(&with_ends(refused(), None, ("0.0.0.0:4000", "10.0.0.1:81")), "fail", "the endpoints differ");
    // What connects to a wildcard is told under it by scap.
    let wild = Made { address: Some("0.0.0.0:80"), ..made("connect", 9, 0, 3_500_000) };
    let true_ends = ("127.0.0.1:4000", "127.0.0.1:80");
    assert_eq!(with_ends(wild.clone(), Some(true_ends), ("127.0.0.1:4000", "0.0.0.0:80")), Verdict::Pass);
    says(&with_ends(wild, Some(true_ends), ("127.0.0.1:4000", "0.0.0.0:81")), "fail", "the endpoints differ");
}

#[test]
fn of_a_socket_that_was_reset_meanwhile_scap_may_tell_anything() {
    let ends = [Some(("[::1]:80", "[::1]:5000")), Some(("[::1]:80", "[fe80::7]:9"))];
    let mut calls = served();
    calls.push(Made { ends, ..made("accept4", 3, 9, 3_500_000) });
    let reset = |us: u64| {
        let mut story = told(&calls, &calls);
        let event = socket(9, "[::1]:80", Some("[::1]:5000"), TcpState::Established, TcpState::Close);
        let at = Timestamp(1_000_000_000 + 1000 * us);
        story.records.push(Record { at, uncertainty_ns: 0, source: Source::Ebpf, event });
        judged(story)
    };
    assert_eq!(reset(3_500_030), Verdict::Pass);
    says(&reset(3_600_000), "fail", "the endpoints differ");
}

#[test]
fn what_a_close_range_closed_rests_on_ebpf_alone_and_is_counted() {
    // A descriptor that scap sees closed after it was closed with others, which eBPF takes for a file by then.
    let calls = |last| {
        let mut ours = served();
        ours.truncate(11);
        ours.push(made("close_range", 5, 0, 4_000_150));
        let mut theirs = ours.clone();
        theirs.pop();
        let mut story = told(&ours, &theirs);
        story.records.iter_mut().for_each(|record| match &mut record.event {
            Event::Syscall(call) if call.name == "close_range" => call.argument = Some(last),
            _ => {}
        });
        story.records.extend(made("close", 7, 0, 4_000_300).theirs());
        story
    };
    assert_eq!(judged(calls(9)), Verdict::Pass);
    assert_eq!(judged(calls(-1)), Verdict::Pass, "up to the last one of all");
    says(&judged(calls(6)), "fail", "eBPF did not tell of close(7) = 0");
    let mut story = calls(9);
    for source in [Source::Ebpf, Source::Scap] {
        story.at(6000, source, Event::Fence { began: Timestamp(6_000_100_000), cpus: 2, seen: 2 });
    }
    let history = History::new(run(), story.records);
    let agreed = agreement::compare(&Slice::of(&history, &case()).expect("a case")).expect("they agree");
    assert_eq!((agreed.calls, agreed.ends, agreed.alone), (11, 0, 1));
}
