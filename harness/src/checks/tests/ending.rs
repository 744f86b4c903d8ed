//! The end of a whole system.

use super::*;
use crate::checks::SystemEnds;
use crate::endpoint::Tgid;
use crate::history::{ProcessChange, SutChange};

/// The master is 10, its children 11 and 12; it is asked at 2000, and these have ended by then.
fn judge(ended: &[(u32, u64)], status: Option<&str>, check: &Check) -> Verdict {
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
    story.at(2000, Source::Runner, Event::Sut(SutChange::Asked { tgid: 10, signal: 15 }));
    for (tgid, ms) in ended {
        story.at(*ms, Source::Ebpf, Event::Process(ProcessChange::Exit { process: process(*tgid), status: None }));
    }
    if let Some(status) = status {
        story.at(5900, Source::Sut, Event::Sut(SutChange::Died { process: "m".into(), status: status.into() }));
    }
    story.judge(check)
}

#[test]
fn all_of_a_system_ends_in_order() {
    let check = Check::SystemEnds(SystemEnds { within_ms: 1000 });
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
    let patient = Check::SystemEnds(SystemEnds { within_ms: 10_000 });
    says(&judge(&all[..2], None, &patient), "unknown", "`m` was watched for 4000 ms");
}
