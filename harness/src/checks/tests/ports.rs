//! Windows of ports, and ports that must not move.

use super::*;
use crate::checks::{PortStays, PortWindow, Reopens};
use crate::endpoint::Tgid;
use crate::history::ProcessChange;

/// Closes within 1 s of the trigger at 1100, reopens 2000 ± 500 ms after its close.
fn window() -> Check {
    Check::PortWindow(PortWindow {
        port: "p".into(),
        endpoint: endpoint(PORT),
        trigger: "trigger".into(),
        closes_within_ms: Some(1000.0),
        reopens: Some(Reopens { after_ms: 2000.0, tolerance_ms: 500.0 }),
    })
}

fn cycle(closed: u64, reopened: u64) -> Story {
    let mut story = Story::new();
    story.operation(1, "trigger", 1100);
    story.at(closed, Source::Ebpf, listen(1, PORT, false));
    story.at(reopened, Source::Ebpf, listen(2, PORT, true));
    story
}

#[test]
fn inside_both_windows_passes() {
    assert_eq!(cycle(1200, 3200).judge(&window()), Verdict::Pass);
    assert_eq!(cycle(2100, 3600).judge(&window()), Verdict::Pass, "on the bounds");
}

#[test]
fn each_way_to_miss_a_window_fails_by_its_name() {
    says(&cycle(2200, 4200).judge(&window()), "fail", "1100.000 ms after it, 100.000 ms too late");
    says(&cycle(1200, 2600).judge(&window()), "fail", "1400.000 ms after it, 100.000 ms too early");
    says(&cycle(1200, 3800).judge(&window()), "fail", "2600.000 ms after it, 100.000 ms too late");
    says(&cycle(1050, 3200).judge(&window()), "fail", "it closed 50.000 ms before it");

    let mut never = Story::new();
    never.operation(1, "trigger", 1100);
    says(&never.judge(&window()), "fail", "never left LISTEN");

    let mut gone = Story::new();
    gone.operation(1, "trigger", 1100);
    gone.at(1200, Source::Ebpf, listen(1, PORT, false));
    gone.at(3200, Source::Ebpf, listen(2, "127.0.0.1:9001", true));
    // Another port of the process closes and comes back to its own place.
    gone.at(1250, Source::Ebpf, listen(8, "127.0.0.1:9009", false));
    gone.at(3100, Source::Ebpf, listen(9, "127.0.0.1:9009", true));
    says(&gone.judge(&window()), "fail", "the same process opened 127.0.0.1:9001");

    let mut flapping = cycle(1200, 3200);
    flapping.at(3300, Source::Ebpf, listen(2, PORT, false));
    flapping.at(3400, Source::Ebpf, listen(3, PORT, true));
    says(&flapping.judge(&window()), "fail", "closed again 100.000 ms later");
}

#[test]
fn a_second_listener_keeps_the_port_open() {
    let mut story = Story::new();
    story.at(3, Source::Ebpf, listen(9, PORT, true));
    story.operation(1, "trigger", 1100);
    story.at(1200, Source::Ebpf, listen(1, PORT, false));
    says(&story.judge(&window()), "fail", "listening sockets now: 1");
}

#[test]
fn without_evidence_it_is_unknown() {
    let mut untriggered = Story::new();
    untriggered.at(1200, Source::Ebpf, listen(1, PORT, false));
    says(&untriggered.judge(&window()), "unknown", "the trigger never happened");

    let closed = cycle(1200, 3200).without(|event| *event == listen(1, PORT, true));
    says(&closed.judge(&window()), "unknown", "did not listen when the case began");

    let mut short = Story::new();
    short.operation(1, "trigger", 5800);
    says(&short.judge(&window()), "unknown", "inside the window");
}

#[test]
fn a_case_that_was_cut_short_says_nothing_of_what_had_not_happened_yet() {
    let whenever = PortWindow {
        port: "p".into(),
        endpoint: endpoint(PORT),
        trigger: "trigger".into(),
        closes_within_ms: None,
        reopens: None,
    };
    let whenever = Check::PortWindow(whenever);
    let cut = |mut story: Story| {
        story.at(5999, Source::Ebpf, Event::Fence { began: Timestamp(5_998_000_000), cpus: 2, seen: 2 });
        story.at(6000, Source::Runner, Event::CaseEnd { case: case(), error: Some("interrupted".into()) });
        story.judge_as_it_is(&whenever)
    };
    let mut open = Story::new();
    open.operation(1, "trigger", 1100);
    says(&cut(open), "unknown", "inside the window");
    let mut closed = Story::new();
    closed.operation(1, "trigger", 1100);
    closed.at(1200, Source::Ebpf, listen(1, PORT, false));
    says(&cut(closed), "unknown", "inside the window");
    let mut never = Story::new();
    never.operation(1, "trigger", 1100);
    says(&never.judge(&whenever), "fail", "never left LISTEN");
}

#[test]
fn a_bound_inside_the_uncertainty_is_unknown() {
    let mut story = Story::new();
    story.operation(1, "trigger", 1100);
    story.at(2101, Source::SockDiag, listen(1, PORT, false));
    story.blur_last(2);
    story.at(4101, Source::SockDiag, listen(2, PORT, true));
    says(&story.judge(&window()), "unknown", "the ebpf observer would settle it");

    let mut late = Story::new();
    late.operation(1, "trigger", 1100);
    late.at(2104, Source::SockDiag, listen(1, PORT, false));
    late.blur_last(2);
    says(&late.judge(&window()), "fail", "too late");

    let mut reopened = Story::new();
    reopened.operation(1, "trigger", 1100);
    reopened.at(1200, Source::SockDiag, listen(1, PORT, false));
    reopened.at(3701, Source::SockDiag, listen(2, PORT, true));
    reopened.blur_last(2);
    says(&reopened.judge(&window()), "unknown", "between 2499.000 and 2501.000 ms");
}

#[test]
fn a_port_that_must_stay_may_not_move() {
    let stays = Check::PortStays(PortStays { port: "p".into(), endpoint: endpoint(PORT) });
    assert_eq!(Story::new().judge(&stays), Verdict::Pass);
    says(&cycle(1200, 1201).judge(&stays), "fail", "it closed 200.000 ms into the case");
    let absent = Story::new().without(|event| *event == listen(1, PORT, true));
    says(&absent.judge(&stays), "unknown", "did not listen");
}

#[test]
fn a_listen_that_is_refused_is_no_flap() {
    let wildcard = format!("0.0.0.0:{}", endpoint(PORT).port());
    let flap = |refused: bool| {
        let mut story = cycle(1200, 3200);
        // Another socket, of a wildcard that another address keeps from listening, while the port is closed.
        story.at(1900, Source::Ebpf, listen(9, &wildcard, true));
        let Event::SocketState(closes) = listen(9, &wildcard, false) else { unreachable!() };
        story.at(1901, Source::Ebpf, Event::SocketState(SocketState { refused, ..closes }));
        story
    };
    assert_eq!(flap(true).judge(&window()), Verdict::Pass);
    says(&flap(false).judge(&window()), "fail", "too early");
}

fn by(event: Event, tgid: u32) -> Event {
    match event {
        Event::SocketState(change) => {
            let process = Process { tgid: Tgid(tgid), tid: tgid, comm: "p".into() };
            Event::SocketState(SocketState { process, ..change })
        }
        other => other,
    }
}

fn exit(tgid: u32, status: i32) -> Event {
    let process = Process { tgid: Tgid(tgid), tid: tgid, comm: "p".into() };
    Event::Process(ProcessChange::Exit { process, status: Some(status) })
}

#[test]
fn who_keeps_a_port_open_is_said() {
    let mut second = Story::new();
    second.at(3, Source::Ebpf, by(listen(9, PORT, true), 7));
    second.operation(1, "trigger", 1100);
    second.at(1200, Source::Ebpf, by(listen(1, PORT, false), 7));
    let verdict = second.judge(&window());
    says(
        &verdict,
        "fail",
        "a socket there closed 100.000 ms after it, by p[7]; the one that listens was opened by p[7] 1097 ms",
    );

    let parent = Process { tgid: Tgid(0), ..Process::default() };
    let fork = |child: u32| Event::Process(ProcessChange::Fork { parent: parent.clone(), child: Tgid(child) });
    let mut shared = Story::new();
    shared.at(3, Source::Ebpf, fork(8));
    shared.at(4, Source::Ebpf, fork(9));
    shared.at(5, Source::Ebpf, exit(8, 0));
    shared.operation(1, "trigger", 1100);
    says(&shared.judge(&window()), "fail", "whose child 9 lives and may hold it too");
}

#[test]
fn a_process_that_ends_and_one_that_takes_over_are_named() {
    let stays = Check::PortStays(PortStays { port: "p".into(), endpoint: endpoint(PORT) });
    let restarted = |status: i32| {
        let mut story = Story::new();
        story.operation(1, "trigger", 1100);
        story.at(1200, Source::Ebpf, by(listen(1, PORT, false), 7));
        story.at(1201, Source::Ebpf, exit(7, status));
        story.at(1800, Source::Ebpf, by(listen(2, PORT, true), 8));
        story
    };
    let said = "by p[7], which ended then (exit code 4); it listened again after 600.000 ms, by p[8], another process than p[7]";
    says(&restarted(4 << 8).judge(&stays), "fail", said);
    says(&restarted(11).judge(&stays), "fail", "(signal 11)");
    says(&restarted(11).judge(&window()), "fail", "too early, by p[8], another process than p[7]");
    let gone = restarted(9).without(|event| *event == by(listen(2, PORT, true), 8));
    says(&gone.judge(&stays), "fail", "it did not listen again");
    let gone = restarted(9).without(|event| *event == by(listen(2, PORT, true), 8));
    says(&gone.judge(&window()), "fail", "; p[7], which closed it, ended (signal 9)");
}

#[test]
fn a_close_that_may_have_been_before_the_trigger_is_unknown() {
    let mut story = Story::new();
    story.operation(1, "trigger", 1100);
    story.at(1101, Source::SockDiag, listen(1, PORT, false));
    story.blur_last(2);
    story.at(3200, Source::SockDiag, listen(2, PORT, true));
    says(&story.judge(&window()), "unknown", "it closed between -1.000 and 1.000 ms");
}

#[test]
fn a_handover_that_one_poll_saw_is_unknown() {
    let stays = Check::PortStays(PortStays { port: "p".into(), endpoint: endpoint(PORT) });
    let mut story = Story::new();
    story.at(2000, Source::SockDiag, listen(2, PORT, true));
    story.blur_last(1);
    story.at(2000, Source::SockDiag, listen(1, PORT, false));
    story.blur_last(1);
    says(&story.judge(&stays), "unknown", "in an order that tp_btf cannot tell");
}

#[test]
fn a_listener_that_another_takes_over_from_in_the_same_moment_keeps_the_port_open() {
    let stays = Check::PortStays(PortStays { port: "p".into(), endpoint: endpoint(PORT) });
    for closes_first in [true, false] {
        let mut story = Story::new();
        let mut changes = [listen(1, PORT, false), listen(2, PORT, true)];
        if !closes_first {
            changes.reverse();
        }
        changes.into_iter().for_each(|change| story.at(2000, Source::Ebpf, change));
        assert_eq!(story.judge(&stays), Verdict::Pass);
    }
}

#[test]
fn a_bound_in_fractions_of_a_millisecond_belongs_to_the_window() {
    // 0.1 + 0.2 is more than 0.3 in floating point.
    let window = PortWindow {
        port: "p".into(),
        endpoint: endpoint(PORT),
        trigger: "trigger".into(),
        closes_within_ms: Some(0.3),
        reopens: Some(Reopens { after_ms: 0.7, tolerance_ms: 0.1 }),
    };
    let mut story = Story::new();
    story.operation(1, "trigger", 1100);
    for (ns, change) in [(300_000, listen(1, PORT, false)), (1_100_000, listen(2, PORT, true))] {
        story.at(1100, Source::Ebpf, change);
        if let Some(last) = story.records.last_mut() {
            last.at.0 += ns;
        }
    }
    assert_eq!(story.judge(&Check::PortWindow(window)), Verdict::Pass);
}

#[test]
fn a_port_that_moves_as_the_case_ends_is_unknown() {
    let stays = Check::PortStays(PortStays { port: "p".into(), endpoint: endpoint(PORT) });
    let mut story = Story::new();
    // The poll that the fence waited for saw it: it may have closed before the fence began, or after.
    story.at(6000, Source::SockDiag, Event::Fence { began: Timestamp(5_999_000_000), cpus: 1, seen: 1 });
    story.at(6000, Source::SockDiag, listen(1, PORT, false));
    story.blur_last(2);
    story.at(6000, Source::Runner, Event::CaseEnd { case: case(), error: None });
    says(&story.judge_as_it_is(&stays), "unknown", "as the case ended");
}
