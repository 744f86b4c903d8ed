//! Each way to lie about a recorded stream is caught, by just the checks that should.

use std::collections::BTreeSet;

use reference_sinsp::Fault;

use super::recorded::{RUNS, judged, load, told};

/// What catches a fault, and what it says: `fail`, or `unknown` where the evidence is missing.
fn caught_by(fault: Fault) -> Option<(&'static str, &'static [&'static str])> {
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
            let Some((word, checks)) = caught_by(*fault) else { continue };
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
