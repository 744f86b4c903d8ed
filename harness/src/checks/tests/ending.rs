//! The end of a whole system.

use super::*;
use crate::checks::SystemEnds;
use crate::endpoint::Tgid;
use crate::history::{ProcessChange, SutChange};

/// The master is 10, its children 11 and 12; it is asked at 2000, and these have ended by then.
fn judge(ended: &[(u32, u64)], status: Option<&str>, check: &Check) -> Verdict {
    story(SutChange::Asked { tgid: 10, signal: 15 }, ended, None, status).judge(check)
}

/// The same, where the end is brought about at 2000 by `cause`, and the kernel tells a status of the master.
fn story(cause: SutChange, ended: &[(u32, u64)], kernel: Option<i32>, status: Option<&str>) -> Story {
    let mut story = Story::new();
    let process = |tgid| Process { tgid: Tgid(tgid), ..Process::default() };
    let launched = SutChange::Launched { process: "m".into(), tgid: 10 };
    story
        .records
        .insert(0, Record { at: Timestamp(0), uncertainty_ns: 0, source: Source::Sut, event: Event::Sut(launched) });
    for child in [11, 12] {
        let fork = Event::Process(ProcessChange::Fork { parent: process(10), child: Tgid(child) });
        story.at(1001, Source::Ebpf, fork);
    }
    story.at(2000, Source::Runner, Event::Sut(cause));
    for (tgid, ms) in ended {
        let status = kernel.filter(|_| *tgid == 10);
        story.at(*ms, Source::Ebpf, Event::Process(ProcessChange::Exit { process: process(*tgid), status }));
    }
    if let Some(status) = status {
        story.at(5900, Source::Sut, Event::Sut(SutChange::Died { process: "m".into(), status: status.into() }));
    }
    story
}

#[test]
fn all_of_a_system_ends_in_order() {
    let check = Check::SystemEnds(SystemEnds::in_order(1000));
    let all = [(11, 2100), (12, 2200), (10, 2300)];
    assert!(judge(&all, Some("exit code 0"), &check).passed());
    assert!(judge(&all, Some("exit code 0"), &Check::Alive).passed(), "it was asked to");
    says(&judge(&all, Some("exit code 6"), &check), "fail", "it ended with exit code 6");
    says(&judge(&all, None, &check), "unknown", "how `m` ended is not recorded");
    says(&judge(&all[..2], Some("exit code 0"), &check), "fail", "`m` lives on");
    says(&judge(&all[1..], Some("exit code 0"), &check), "fail", "its child 11 lives on");
    let late = [(11, 2100), (12, 3200), (10, 3201)];
    says(&judge(&late, Some("exit code 0"), &check), "fail", "`m` ended after 1201 ms");
    says(&Story::new().judge(&check), "unknown", "nobody asked");
    let patient = Check::SystemEnds(SystemEnds::in_order(10_000));
    says(&judge(&all[..2], None, &patient), "unknown", "`m` was watched for 4000 ms");
}

#[test]
fn an_end_that_a_case_brings_about_has_its_time_and_its_exit_code() {
    let check = Check::SystemEnds(SystemEnds { within_ms: 3000, not_before_ms: 2000, exit_code: 6 });
    let judge = |at: u64, kernel: Option<i32>, status: &str, check: &Check| {
        let cause = SutChange::Provoked { by: "one report more".into() };
        story(cause, &[(10, at), (11, at), (12, at)], kernel, Some(status)).judge(check)
    };
    for kernel in [Some(6 << 8), None] {
        assert!(judge(4500, kernel, "exit code 6", &check).passed());
    }
    assert!(judge(4500, Some(6 << 8), "exit code 6", &Check::Alive).passed(), "it was brought to its end");
    says(&judge(4500, None, "exit code 0", &check), "fail", "`m` to end with exit code 6; it ended with exit code 0");
    says(&judge(4500, Some(0), "exit code 6", &check), "fail", "the kernel saw it end with exit code 0");
    says(&judge(4500, Some(11), "exit code 6", &check), "fail", "the kernel saw it end with signal 11");
    says(&judge(3900, Some(6 << 8), "exit code 6", &check), "fail", "it ended after 1900 ms");
    says(&judge(1500, Some(6 << 8), "exit code 6", &check), "fail", "`m` had ended 500 ms before");
    let late = judge(5500, Some(6 << 8), "exit code 6", &check);
    says(&late, "fail", "within 3000 ms of one report more; `m` ended after 3500 ms");
}
