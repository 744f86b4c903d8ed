//! `junit.xml` for CI: a failed case is a failure, an unknown one an error, for CI knows no third word.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report as JunitReport, TestCase, TestCaseStatus, TestSuite};

use super::{Report, terminal};
use crate::checks::{CheckJudgement, Verdict};

/// Writes `junit.xml`.
pub fn write(report: &Report, path: &Path) -> io::Result<()> {
    let mut junit = JunitReport::new(readable(&format!("portwitness {}", report.run.suite)));
    let mut suites: BTreeMap<&str, TestSuite> = BTreeMap::new();
    for case in &report.judgement.cases {
        let group = case.planned.case.suite.as_str();
        let name = readable(&format!("{} {}", case.planned.case.number, case.planned.title));
        let mut test = TestCase::new(name, status(&case.verdict, &case.checks));
        test.set_classname(readable(group));
        test.set_time(Duration::try_from_secs_f64(case.metrics.duration_ms / 1e3).unwrap_or_default());
        suites.entry(group).or_insert_with(|| TestSuite::new(readable(group))).add_test_case(test);
    }
    let system: Vec<TestCase> = report
        .judgement
        .system
        .iter()
        .map(|check| TestCase::new(readable(&check.name), status(&check.verdict, &[])))
        .collect();
    if !system.is_empty() {
        suites.entry("system").or_insert_with(|| TestSuite::new("system")).add_test_cases(system);
    }
    junit.add_test_suites(suites.into_values());
    let mut text = Vec::new();
    junit.serialize(&mut text).map_err(io::Error::other)?;
    super::write_whole(path, &text)
}

fn status(verdict: &Verdict, checks: &[CheckJudgement]) -> TestCaseStatus {
    let kind = match verdict {
        Verdict::Pass => return TestCaseStatus::success(),
        Verdict::Fail(_) => NonSuccessKind::Failure,
        Verdict::Unknown { .. } => NonSuccessKind::Error,
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(verdict.word()).set_message(readable(&verdict.to_string()));
    let mut lines = Vec::new();
    for check in checks {
        lines.push(format!("{}: {} {}", check.name, check.verdict.word(), check.verdict));
        if let Verdict::Fail(finding) = &check.verdict {
            lines.extend(finding.around.iter().map(|line| format!("    {line}")));
        }
    }
    status.set_description(readable(&lines.join("\n")));
    status
}

/// The text in characters that XML 1.0 has (section 2.2): what is none is spelled out.
fn readable(text: &str) -> String {
    terminal::plain(text).replace('\u{fffe}', "\\u{fffe}").replace('\u{ffff}', "\\u{ffff}")
}
