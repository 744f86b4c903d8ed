//! Coverage, causality, and what the lack of evidence does to other checks.

use super::*;
use crate::checks::{PortStays, judge};
use crate::history::{SutChange, Syscall, SyscallPhase};

fn stays() -> Check {
    Check::PortStays(PortStays { port: "p".into(), endpoint: endpoint(PORT) })
}

/// A client connects, and the kernel sees it.
fn connected() -> Story {
    let mut story = Story::new();
    story.operation(1, "g", 1100);
    story.at(1099, Source::Ebpf, socket(5, PORT, Some(LOCAL), TcpState::SynRecv, TcpState::Established));
    story
}

/// A second client connects at `ms`, and is refused a ms later.
fn refuse(story: &mut Story, ms: u64) {
    let (group, client, head) = ("g".into(), "echo".into(), String::new());
    story.step(2, ms, OpStep::Start { group, client, target: endpoint(PORT), planned: 1, head });
    let began = Timestamp(0) + Duration::from_millis(ms);
    story.step(2, ms + 1, OpStep::Connect { began, outcome: Outcome::Refused, local: None });
}

#[test]
fn a_case_that_was_watched_is_covered() {
    assert_eq!(connected().judge(&Check::Coverage), Verdict::Pass);
}

#[test]
fn lost_records_make_it_unknown() {
    let mut story = connected();
    let loss = Event::Loss { probe: "socket_state".into(), count: 3, since: Timestamp(0) };
    story.at(2000, Source::Ebpf, loss.clone());
    says(&story.judge(&Check::Coverage), "unknown", "3 records of socket_state were lost");
    let mut story = connected();
    story.at(2000, Source::Ebpf, loss.clone());
    says(&story.judge(&stays()), "unknown", "lost");
    let mut earlier = connected();
    earlier.at(900, Source::Ebpf, loss);
    says(&earlier.judge(&stays()), "unknown", "lost");
    let mut causes = connected();
    causes.at(900, Source::Ebpf, Event::Loss { probe: "syscall".into(), count: 3, since: Timestamp(0) });
    assert_eq!(causes.judge(&Check::Coverage), Verdict::Pass, "causes of the past do not matter");
}

#[test]
fn a_dead_or_absent_observer_makes_it_unknown() {
    let mut dead = connected();
    dead.at(2000, Source::Ebpf, Event::Observer(ObserverChange::Died { reason: "killed".into() }));
    says(&dead.judge(&Check::Coverage), "unknown", "died: killed");
    let absent = connected().without(|event| matches!(event, Event::Observer(_)));
    says(&absent.judge(&Check::Coverage), "unknown", "no observer");
    let mut stopped = connected();
    stopped.at(2000, Source::Ebpf, Event::Observer(ObserverChange::Stopped));
    says(&stopped.judge(&stays()), "unknown", "stopped before the end");
}

#[test]
fn without_a_complete_fence_it_is_unknown() {
    let mut story = connected();
    story.at(6000, Source::Runner, Event::CaseEnd { case: case(), error: None });
    says(&story.judge_as_it_is(&Check::Coverage), "unknown", "no fence");
    let mut story = connected();
    story.at(5999, Source::Ebpf, Event::Fence { began: Timestamp(1), cpus: 2, seen: 1 });
    story.at(6000, Source::Runner, Event::CaseEnd { case: case(), error: None });
    says(&story.judge_as_it_is(&Check::Coverage), "unknown", "1 of 2 sentinels");
}

#[test]
fn an_idle_observer_makes_it_unknown() {
    let mut story = Story::new();
    story.operation(1, "g", 1100);
    says(&story.judge(&Check::Coverage), "unknown", "saw the other end of none");
    says(&Story::new().judge(&Check::Coverage), "unknown", "no client connected");
}

#[test]
fn a_connect_that_contradicts_the_kernel_is_caught() {
    assert_eq!(connected().judge(&Check::Causality), Verdict::Pass);

    let mut closed = Story::new();
    closed.at(1050, Source::Ebpf, listen(1, PORT, false));
    closed.operation(1, "g", 1100);
    says(&closed.judge(&Check::Causality), "fail", "succeeded while no socket listened");

    let refused = |ms: u64| {
        let mut story = connected();
        refuse(&mut story, ms);
        story
    };
    says(&refused(2000).judge(&Check::Causality), "fail", "was refused while a socket listened");
    let mut during = refused(2000);
    during.at(2000, Source::Ebpf, listen(1, PORT, false));
    assert_eq!(during.judge(&Check::Causality), Verdict::Pass, "a port that closes meanwhile allows both");
    says(&Story::new().judge(&Check::Causality), "unknown", "no connect");
}

#[test]
fn a_connect_that_is_refused_while_a_call_opens_or_closes_the_port_is_no_contradiction() {
    // Thread 9 opens the port at 2000 ms, or closes it at 2100; the client is refused from 2050 to 2051.
    let refused = |opens: bool, call: Option<(&str, u64, u64)>, tid: u32| {
        let mut story = connected();
        if opens {
            story.at(1900, Source::Ebpf, listen(1, PORT, false));
        }
        let mut change = listen(1, PORT, opens);
        if let Event::SocketState(change) = &mut change {
            change.process.tid = 9;
        }
        story.at(if opens { 2000 } else { 2100 }, Source::Ebpf, change);
        refuse(&mut story, 2050);
        let (name, entered, left) = call.unwrap_or(("accept4", 2050, 2051));
        for (phase, at) in [(SyscallPhase::Enter, entered), (SyscallPhase::Exit(0), left)] {
            let process = Process { tid, ..Process::default() };
            let (name, argument, address, tuple) = (name.into(), None, None, None);
            story.at(
                at,
                Source::Ebpf,
                Event::Syscall(Syscall { name, phase, fd: 3, argument, address, tuple, process }),
            );
        }
        story.records.sort_by_key(|record| record.at);
        story.judge(&Check::Causality)
    };
    let contradicts = |verdict: Verdict| says(&verdict, "fail", "was refused while a socket listened");
    contradicts(refused(true, None, 9));
    assert_eq!(refused(true, Some(("listen", 1999, 2050)), 9), Verdict::Pass);
    contradicts(refused(true, Some(("listen", 1999, 2049)), 9));
    contradicts(refused(true, Some(("listen", 2001, 2050)), 9));
    contradicts(refused(true, Some(("listen", 1999, 2050)), 8));
    contradicts(refused(true, Some(("bind", 1999, 2050)), 9));

    contradicts(refused(false, None, 9));
    assert_eq!(refused(false, Some(("close", 2051, 2101)), 9), Verdict::Pass);
    assert_eq!(refused(false, Some(("shutdown", 2040, 2095)), 9), Verdict::Pass, "it closes a little later");
    contradicts(refused(false, Some(("close", 2052, 2101)), 9));
    contradicts(refused(false, Some(("close", 2040, 2093)), 9));
    contradicts(refused(false, Some(("close", 2051, 2101)), 8));
}

#[test]
fn a_process_that_dies_is_a_failure() {
    let mut story = connected();
    let died = SutChange::Died { process: "server".into(), status: "signal 11".into() };
    story.at(2000, Source::Sut, Event::Sut(died));
    says(&story.judge(&Check::Alive), "fail", "`server` died 1000 ms into the case: signal 11");
    assert_eq!(connected().judge(&Check::Alive), Verdict::Pass);
}

#[test]
fn a_case_without_an_end_or_a_check_is_unknown() {
    let verdict = |records: Vec<Record>| judge(&History::new(run(), records)).verdict;
    says(&verdict(Vec::new()), "unknown", "it was not run");
    let mut story = connected();
    says(&verdict(story.records.clone()), "unknown", "the run broke off in it");
    story.at(6000, Source::Runner, Event::CaseEnd { case: case(), error: Some("no way".into()) });
    says(&verdict(story.records.clone()), "unknown", "no way");
    story.records.pop();
    story.at(6000, Source::Runner, Event::CaseEnd { case: case(), error: None });
    says(&verdict(story.records), "unknown", "nothing was checked");
}

#[test]
fn a_system_that_ignores_its_stop_signal_fails() {
    let mut story = connected();
    story.at(7000, Source::Sut, Event::Sut(SutChange::Killed { process: "server".into(), after_ms: 5000 }));
    says(&judge(&History::new(run(), story.records)).verdict, "fail", "ignored the signal for 5000 ms");
}

#[test]
fn a_process_that_dies_between_cases_fails_the_run() {
    let system = |ends: &[SutChange]| {
        let mut story = connected();
        story.at(900, Source::Sut, Event::Sut(SutChange::Launched { process: "server".into(), tgid: 5 }));
        for end in ends {
            story.at(7000, Source::Sut, Event::Sut(end.clone()));
        }
        judge(&History::new(run(), story.records)).system.remove(0).verdict
    };
    let stopped = SutChange::Stopped { process: "server".into(), took_ms: 1, status: "exit code 0".into() };
    assert_eq!(system(std::slice::from_ref(&stopped)), Verdict::Pass);
    let died = SutChange::Died { process: "server".into(), status: "signal 11".into() };
    says(&system(&[died, stopped]), "fail", "it died: signal 11");
    says(&system(&[]), "unknown", "not recorded");
    let crashed = SutChange::Stopped { process: "server".into(), took_ms: 1, status: "signal 11".into() };
    says(&system(&[crashed]), "fail", "it ended by signal 11");
}

#[test]
fn what_happened_after_the_fence_began_contradicts_nothing() {
    let mut story = connected();
    // The port closes unseen after the fence began, and a client that goes on is refused.
    let start = OpStep::Start {
        group: "g".into(),
        client: "echo".into(),
        target: endpoint(PORT),
        planned: 1,
        head: String::new(),
    };
    story.step(2, 5990, start);
    let began = Timestamp(0) + Duration::from_millis(5998);
    story.step(2, 5999, OpStep::Connect { began, outcome: Outcome::Refused, local: None });
    story.at(5999, Source::Ebpf, Event::Fence { began: Timestamp(5_995_000_000), cpus: 2, seen: 2 });
    story.at(6000, Source::Runner, Event::CaseEnd { case: case(), error: None });
    assert_eq!(story.judge_as_it_is(&Check::Causality), Verdict::Pass);
}

#[test]
fn a_run_without_cases_is_unknown_though_its_system_stopped() {
    let mut story = Story::new();
    let stopped = SutChange::Stopped { process: "server".into(), took_ms: 1, status: "exit code 0".into() };
    story.at(7000, Source::Sut, Event::Sut(stopped));
    let history = History::new(RunInfo { cases: Vec::new(), ..run() }, story.records);
    says(&judge(&history).verdict, "unknown", "no case was planned");
}
