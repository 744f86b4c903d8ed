//! Two witnesses that agree, that differ in each way, and that cannot be compared.

mod ends;

use proptest::prelude::*;

use super::*;
use crate::endpoint::Tgid;
use crate::history::{ProcessChange, Syscall, SyscallPhase, Tuple};
use crate::properties::config;

/// What the second witness's clock is uncertain by, in ns.
const CLOCK_NS: u64 = 100;

/// A call of thread `tid`: when it was entered and left, in us of the case, by eBPF's clock.
#[derive(Clone, Debug)]
struct Made {
    tid: u32,
    name: &'static str,
    fd: i32,
    result: i64,
    enter: u64,
    exit: u64,
    /// How much later scap's hooks are, in ns; negative for earlier.
    late: i64,
    /// By how much more at the exit, in ns.
    held_up: i64,
    address: Option<&'static str>,
    /// Both ends, as eBPF tells and as scap does.
    ends: [Option<(&'static str, &'static str)>; 2],
}

fn made(name: &'static str, fd: i32, result: i64, us: u64) -> Made {
    Made {
        tid: 11,
        name,
        fd,
        result,
        enter: us,
        exit: us + 40,
        late: -5000,
        held_up: 0,
        address: None,
        ends: [None; 2],
    }
}

impl Made {
    fn record(&self, source: Source, phase: SyscallPhase) -> Record {
        let us = if phase == SyscallPhase::Enter { self.enter } else { self.exit };
        let ns = 1_000_000_000 + 1000 * us;
        let (ns, uncertainty_ns) = match source {
            Source::Scap if phase == SyscallPhase::Enter => (ns.saturating_add_signed(self.late), CLOCK_NS),
            Source::Scap => (ns.saturating_add_signed(self.late + self.held_up), CLOCK_NS),
            _ => (ns, 0),
        };
        let is_accept = self.name.starts_with("accept");
        let fd = if source == Source::Scap && is_accept { -1 } else { self.fd };
        let process = Process { tgid: Tgid(10), tid: self.tid, comm: "sut".into() };
        let address = self.address.map(endpoint);
        let ends = self.ends[usize::from(source == Source::Scap)].filter(|_| phase != SyscallPhase::Enter);
        let tuple = ends.map(|(local, remote)| Tuple { local: endpoint(local), remote: endpoint(remote) });
        let call = Syscall { name: self.name.into(), phase, fd, argument: None, address, tuple, process };
        Record { at: Timestamp(ns), uncertainty_ns, source, event: Event::Syscall(call) }
    }

    fn ours(&self) -> [Record; 2] {
        let exit = SyscallPhase::Exit(self.result);
        [self.record(Source::Ebpf, SyscallPhase::Enter), self.record(Source::Ebpf, exit)]
    }

    fn theirs(&self) -> [Record; 2] {
        let exit = SyscallPhase::Exit(self.result);
        [self.record(Source::Scap, SyscallPhase::Enter), self.record(Source::Scap, exit)]
    }
}

/// A connection a second: accepted, shut down, closed.
fn served() -> Vec<Made> {
    (1..5)
        .flat_map(|second| {
            let us = second * 1_000_000;
            [made("accept4", 3, 7, us), made("shutdown", 7, 0, us + 100), made("close", 7, 0, us + 200)]
        })
        .collect()
}

fn watched() -> Story {
    let mut story = Story::new();
    story.at(1, Source::Scap, started(false));
    story
}

fn told(ours: &[Made], theirs: &[Made]) -> Story {
    let mut story = watched();
    story.records.extend(ours.iter().flat_map(Made::ours));
    story.records.extend(theirs.iter().flat_map(Made::theirs));
    story
}

fn judged(mut story: Story) -> Verdict {
    story.at(6000, Source::Scap, Event::Fence { began: Timestamp(6_000_100_000), cpus: 2, seen: 2 });
    story.judge(&Check::Agreement)
}

#[test]
fn two_that_tell_the_same_agree() {
    assert_eq!(judged(told(&served(), &served())), Verdict::Pass);
}

#[test]
fn hooks_that_are_held_up_are_no_difference() {
    let mut late = served();
    // In a VM the host may take the CPU away right between the two hooks.
    late[2].held_up = 900_000_000;
    late[5].late = -30_000;
    assert_eq!(judged(told(&served(), &late)), Verdict::Pass);
}

#[test]
fn what_scap_alone_can_see_is_no_difference() {
    let mut theirs = served();
    theirs.push(made("close", 40, 0, 2_500_000));
    theirs.push(made("dup", 3, 9, 2_600_000));
    theirs.push(made("socket", -1, 9, 2_700_000));
    assert_eq!(judged(told(&served(), &theirs)), Verdict::Pass);
}

#[test]
fn what_one_missed_is_named() {
    let mut less = served();
    less.remove(3);
    says(&judged(told(&served(), &less)), "fail", "scap did not tell of accept4(3) = 7 of sut[10], thread 11");
    says(&judged(told(&less, &served())), "fail", "eBPF did not tell of accept4() = 7 of sut[10], thread 11");
}

#[test]
fn a_close_that_ebpf_missed_is_named_when_it_was_a_socket_s() {
    let mut less = served();
    less.remove(11);
    says(&judged(told(&less, &served())), "fail", "eBPF did not tell of close(7) = 0");
    // By eBPF's account the descriptor was gone by then.
    let mut story = told(&less, &served());
    let exec = Event::Process(ProcessChange::Exec { process: Process { tgid: Tgid(10), ..Process::default() } });
    let at = Timestamp(1_000_000_000 + 4_000_150_000);
    story.records.push(Record { at, uncertainty_ns: 0, source: Source::Ebpf, event: exec });
    assert_eq!(judged(story), Verdict::Pass);
}

#[test]
fn results_descriptors_and_endpoints_that_differ_are_named() {
    let change = |change: fn(&mut Made)| {
        let mut theirs = served();
        change(&mut theirs[5]);
        judged(told(&served(), &theirs))
    };
    says(&change(|call| call.result = -9), "fail", "the results differ, 0 and -9: close(7) = 0");
    says(&change(|call| call.fd = 8), "fail", "the descriptors differ, 7 and 8: close(7) = 0");
    let connect = |address| Made { address: Some(address), ..made("connect", 9, -115, 3_500_000) };
    let mut one = served();
    let mut other = one.clone();
    one.push(connect("10.0.0.1:80"));
    other.push(connect("10.0.0.1:81"));
    says(
        &judged(told(&one, &other)),
        "fail",
        "the endpoints differ, 10.0.0.1:80 and 10.0.0.1:81: connect(9, 10.0.0.1:80)",
    );
}

#[test]
fn a_finding_shows_what_both_told_of_the_thread() {
    let mut theirs = served();
    theirs[5].result = -9;
    let Verdict::Fail(finding) = judged(told(&served(), &theirs)) else { panic!("it fails") };
    assert!(finding.around.iter().any(|line| line.contains("ebpf: close fd 7 Exit(0)")), "{:?}", finding.around);
    assert!(finding.around.iter().any(|line| line.contains("scap: close fd 7 Exit(-9)")), "{:?}", finding.around);
}

#[test]
fn a_clock_that_is_off_is_found_in_busy_threads_and_in_idle_ones() {
    for late in [50_000_000, -50_000_000] {
        let skewed: Vec<_> = served().into_iter().map(|call| Made { late, ..call }).collect();
        says(&judged(told(&served(), &skewed)), "fail", "the times of one call are 50.000 ms apart");
    }
    // API 8: no entries; and no other call comes in between.
    let calls: Vec<_> = (0..9).map(|n| Made { tid: 20 + n, ..made("listen", 3, 0, 2_000_000) }).collect();
    let mut story = told(&calls, &[]);
    let exits = |late| calls.iter().map(move |call| Made { late, ..call.clone() }.theirs()[1].clone());
    story.records.extend(exits(2_000_000));
    says(&judged(story), "fail", "scap's times of all 9 calls lie 2.000 ms or more after eBPF's");
}

#[test]
fn a_clock_that_is_off_does_not_make_one_call_of_two() {
    // API 8 tells no entries: the second accept, the last call for long, could be what scap tells of the first.
    let mut calls = vec![made("accept4", 3, 7, 1_000_000), made("accept4", 3, -11, 1_009_000)];
    calls.push(made("shutdown", 7, 0, 4_000_000));
    let mut story = told(&calls, &[]);
    let late = calls.iter().map(|call| Made { late: 50_000_000, ..call.clone() });
    story.records.extend(late.map(|call| call.theirs()[1].clone()));
    says(
        &judged(story),
        "fail",
        "the times of one call are 50.000 ms apart, and other calls of the thread lie between",
    );
}

#[test]
fn one_time_that_cannot_be_is_named() {
    let mut theirs = served();
    theirs[4].held_up = 700_005_000;
    says(&judged(told(&served(), &theirs)), "fail", "the times of one call are 700.000 ms apart");
}

#[test]
fn calls_on_their_way_at_the_edges_are_no_difference() {
    let mut ours = served();
    ours.push(Made { tid: 12, ..made("accept4", 3, 9, 4_999_900) });
    ours.push(Made { tid: 13, ..made("close", 9, 0, 100) });
    // Entered, and never left.
    let mut story = told(&ours, &served());
    story.records.push(made("accept4", 3, 0, 4_500_000).ours()[0].clone());
    assert_eq!(judged(story), Verdict::Pass);
    // The same in the middle of the case is one.
    ours.push(Made { tid: 12, ..made("accept4", 3, 9, 2_000_000) });
    says(&judged(told(&ours, &served())), "fail", "scap did not tell of accept4(3) = 9");
}

fn spoilt(source: Source, ms: u64, event: Event) -> Verdict {
    let mut story = told(&served(), &served());
    story.at(ms, source, event);
    judged(story)
}

#[test]
fn without_all_of_both_it_is_not_known() {
    let lost = |probe: &str| Event::Loss { probe: probe.into(), count: 3, since: Timestamp(0) };
    let died = Event::Observer(ObserverChange::Died { reason: "killed".into() });
    let what = "system calls are not recorded: no tracefs".to_owned();
    says(&spoilt(Source::Scap, 2000, lost("scap (ring full)")), "unknown", "lost 3 events: scap (ring full)");
    says(&spoilt(Source::Scap, 500, lost("scap (ring full)")), "unknown", "lost 3 events");
    says(&spoilt(Source::Scap, 2000, lost("scap (thread not known)")), "unknown", "lost 3 events");
    assert_eq!(spoilt(Source::Scap, 2000, lost("scap (memory not there)")), Verdict::Pass, "those were clones");
    says(&spoilt(Source::Ebpf, 2000, lost("syscall")), "unknown", "3 records of syscall were lost");
    assert_eq!(spoilt(Source::Ebpf, 500, lost("syscall")), Verdict::Pass, "it was before the case");
    says(&spoilt(Source::Scap, 2000, died.clone()), "unknown", "the second witness died: killed");
    says(&spoilt(Source::Ebpf, 2000, died), "unknown", "the observer died: killed");
    says(&spoilt(Source::Scap, 2000, Event::Observer(ObserverChange::Stopped)), "unknown", "stopped before the end");
    says(&spoilt(Source::Ebpf, 2, Event::Observer(ObserverChange::Lacks { what })), "unknown", "no tracefs");
}

#[test]
fn a_witness_or_a_fence_that_is_not_there_makes_it_unknown() {
    let all = || told(&served(), &served());
    says(&all().judge(&Check::Agreement), "unknown", "the second witness: no fence closed the case");
    let mut short = all();
    short.at(6000, Source::Scap, Event::Fence { began: Timestamp(6_000_000_001), cpus: 2, seen: 1 });
    says(&short.judge(&Check::Agreement), "unknown", "the second witness: only 1 of 2 sentinels");
    let mut alone = all();
    alone.records.retain(|record| record.source != Source::Scap);
    says(&judged(alone), "unknown", "no second witness was watching");
    says(&judged(watched()), "unknown", "nothing to compare");
    let mut polled = all();
    polled.at(3, Source::SockDiag, started(false));
    says(&judged(polled), "unknown", "sock_diag records no system calls");
}

#[test]
fn a_clock_that_was_set_makes_it_unknown() {
    let mut story = told(&served(), &served());
    story.records.iter_mut().filter(|it| it.source == Source::Scap).for_each(|it| it.uncertainty_ns = 7_000_000);
    says(&judged(story), "unknown", "uncertain by 7.000 ms: the system's time was set");
    // What was stamped then lies where it may have been at the latest, and that may be after the case.
    let mut story = told(&served(), &served()[..9]);
    let set = Event::Observer(ObserverChange::Lacks { what: "the system's time was set".into() });
    story.at(4900, Source::Scap, set.clone());
    says(&judged(story), "unknown", "the second witness: the system's time was set");
    let mut story = told(&served(), &served());
    story.at(900, Source::Scap, set);
    says(&judged(story), "unknown", "the system's time was set");
}

#[test]
fn what_becomes_of_the_second_witness_is_no_matter_of_ports() {
    let mut story = told(&served(), &served());
    story.at(2000, Source::Scap, Event::Loss { probe: "scap".into(), count: 3, since: Timestamp(0) });
    story.at(2500, Source::Scap, Event::Observer(ObserverChange::Died { reason: "killed".into() }));
    story.operation(1, "echo", 3000);
    story.at(3000, Source::Ebpf, socket(9, PORT, Some(LOCAL), TcpState::SynRecv, TcpState::Established));
    story.at(5999, Source::Scap, Event::Fence { began: Timestamp(5_999_000_000), cpus: 2, seen: 0 });
    assert_eq!(story.judge(&Check::Coverage), Verdict::Pass);
}

/// Calls of some threads, each thread's one after the other, with hooks that are held up by anything.
fn calls() -> impl Strategy<Value = Vec<Made>> {
    let names = prop::sample::select(vec!["accept4", "close", "listen", "connect", "shutdown", "bind", "accept"]);
    let step = (names, 3..6i32, -2..3i64, 0..400_000u64, 0..3000u64, any::<(u16, bool)>());
    let thread = prop::collection::vec(step, 1..12);
    prop::collection::vec(thread, 1..4).prop_map(|threads| {
        let mut all = Vec::new();
        for (tid, thread) in (100..).zip(threads) {
            let mut us = 0;
            for (name, fd, result, pause, takes, (held_up, later)) in thread {
                // Between two hooks the thread can do nothing else.
                let late = i64::from(held_up) * 1000 * if later { 1 } else { -1 };
                let around = late.unsigned_abs() / 1000 + 1;
                us += pause + around;
                let (enter, exit) = (us, us + takes + 2 * around);
                all.push(Made { tid, name, fd, result, enter, exit, late, held_up: 0, address: None, ends: [None; 2] });
                us = exit + around;
            }
        }
        all
    })
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn witnesses_of_the_same_calls_never_differ(calls in calls(), entries in any::<bool>()) {
        let mut story = told(&calls, &[]);
        let theirs = calls.iter().flat_map(Made::theirs);
        let is_exit = |record: &Record| !matches!(&record.event, Event::Syscall(call) if call.phase == SyscallPhase::Enter);
        story.records.extend(theirs.filter(|record| entries || is_exit(record)));
        let verdict = judged(story);
        prop_assert!(!matches!(verdict, Verdict::Fail(_)), "{verdict:?}");
    }

    #[test]
    fn a_call_that_is_left_out_or_changed_is_always_found(
        calls in calls(),
        which in any::<prop::sample::Index>(),
        left_out in any::<bool>(),
    ) {
        // Frames on both sides, so that no call lies at an edge; the case is five seconds long.
        let mut calls: Vec<_> = calls
            .into_iter()
            .filter(|call| call.exit < 4_000_000)
            .map(|call| Made { enter: call.enter + 400_000, exit: call.exit + 400_000, ..call })
            .collect();
        calls.push(Made { tid: 99, ..made("listen", 3, 0, 2_000_000) });
        let mut theirs = calls.clone();
        let at = which.index(theirs.len());
        if left_out {
            theirs.remove(at);
        } else {
            theirs[at].result += 1000;
        }
        let verdict = judged(told(&calls, &theirs));
        prop_assert!(matches!(verdict, Verdict::Fail(_)), "{verdict:?}");
    }
}
