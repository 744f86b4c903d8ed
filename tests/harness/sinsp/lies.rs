//! Each way to lie about a recorded stream is caught, by just the checks that should.

use std::collections::BTreeSet;

use portwitness::history::{Event, History, SinspFormat, SinspSaid};
use reference_sinsp::Fault;

use super::recorded::{RUNS, format, judged, load, told};

/// What catches a fault, and what it says: `fail`, or `unknown` where the evidence is missing.
fn caught_by(name: &str, format: SinspFormat, fault: Fault) -> Option<(&'static str, &'static [&'static str])> {
    use SinspFormat::{SinspExample, Sysdig};
    Some(match (format, fault) {
        // The only such field of sinsp-example is container.id, which the newer does not print.
        (SinspExample, Fault::WrongField) if name.ends_with("0.23") => return None,
        // Its losses are told beside the stream: see below.
        (Sysdig, Fault::CountedDrops) => return None,
        // It does not tell losses: what is missing may be lost. Nor the thread, where it tells the process.
        (SinspExample, Fault::Missing | Fault::WrongThread | Fault::WrongProcess) => {
            ("unknown", &["sinsp events", "sinsp order", "sinsp parameters", "sinsp process", "sinsp times"])
        }
        (SinspExample, Fault::CutLine) => (
            "fail",
            &["sinsp events", "sinsp order", "sinsp parameters", "sinsp process", "sinsp schema", "sinsp times"],
        ),
        (SinspExample, Fault::WrongField) => ("fail", &["sinsp process"]),
        // Its notes and statistics stand between its events.
        (SinspExample, Fault::Garbage | Fault::CountedDrops) => return None,
        (_, fault) => return caught_anywhere(fault),
    })
}

fn caught_anywhere(fault: Fault) -> Option<(&'static str, &'static [&'static str])> {
    Some(match fault {
        Fault::WrongFd
        | Fault::WrongResult
        | Fault::WrongTuple
        | Fault::WrongAddress
        | Fault::WrongBacklog
        | Fault::DroppedParameter => ("fail", &["sinsp parameters"]),
        Fault::Missing | Fault::Doubled | Fault::Invented | Fault::WrongThread => ("fail", &["sinsp events"]),
        Fault::Reordered => ("fail", &["sinsp order"]),
        Fault::WrongProcess | Fault::WrongParent | Fault::WrongProgram => ("fail", &["sinsp process"]),
        Fault::DroppedField | Fault::ExtraField | Fault::WrongType | Fault::Garbage => ("fail", &["sinsp schema"]),
        Fault::WrongField => ("fail", &["sinsp fields"]),
        Fault::SkewedClock => ("fail", &["sinsp times"]),
        // With the line goes its event.
        Fault::CutLine => ("fail", &["sinsp events", "sinsp schema"]),
        Fault::CountedDrops => (
            "unknown",
            &[
                "sinsp events",
                "sinsp fields",
                "sinsp order",
                "sinsp parameters",
                "sinsp process",
                "sinsp times",
                "sinsp watched",
            ],
        ),
        // These concern a program that runs: see `programs`.
        Fault::UnknownForm | Fault::UnknownApi | Fault::SilentDeath | Fault::FallsSilent => return None,
    })
}

#[test]
fn each_lie_is_caught_by_just_the_checks_that_should() {
    for (name, packed) in RUNS {
        let (run, records) = load(packed);
        for fault in Fault::all() {
            let Some((word, checks)) = caught_by(name, format(&records), *fault) else { continue };
            let judgement = judged(&told(&run, &records, Some(*fault)));
            let mut hit = 0;
            for case in judgement.cases.iter().filter(|case| !case.verdict.passed()) {
                let wrong = case.checks.iter().filter(|check| !check.verdict.passed());
                let names: BTreeSet<&str> = wrong.clone().map(|check| check.name.as_str()).collect();
                let told: Vec<String> = wrong.map(|check| format!("{}: {}", check.name, check.verdict)).collect();
                assert_eq!(
                    names,
                    checks.iter().copied().collect(),
                    "{name}, {fault:?}, {}: {told:?}",
                    case.planned.case
                );
                assert_eq!(case.verdict.word(), word, "{name}, {fault:?}: {}", case.verdict);
                hit += 1;
            }
            assert!(hit > 0, "{name}: nothing was wrong with {fault:?}");
        }
    }
}

/// What sysdig says of losses as it ends makes every case unknown; without a word of them all is judged by what came.
#[test]
fn losses_that_are_told_at_the_end_count() {
    let (run, records) = RUNS.iter().map(|(_, packed)| load(packed)).nth(2).unwrap();
    for (lost, word) in [(Some(3), "unknown"), (Some(0), "pass"), (None, "pass")] {
        let mut told = records.clone();
        let ends = told.iter_mut().filter_map(|record| match &mut record.event {
            Event::Sinsp(SinspSaid::Ended { drops, .. }) => Some(drops),
            _ => None,
        });
        let changed = ends.map(|drops| *drops = lost).count();
        assert_eq!(changed, 10, "each case has an end");
        for case in judged(&History::new(run.clone(), told)).cases {
            assert_eq!(case.verdict.word(), word, "{lost:?}, {}: {}", case.planned.case, case.verdict);
        }
    }
}
