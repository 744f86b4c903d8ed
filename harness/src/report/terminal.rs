//! Progress and results for people, on standard error.

use std::io::{IsTerminal, Write};
use std::path::Path;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use owo_colors::{OwoColorize, Stream};

use super::ranges::ranges;
use super::{Report, Reporter, megabytes};
use crate::checks::agreement::Agreed;
use crate::checks::metrics::{Metrics, Rtt};
use crate::checks::{CaseJudgement, CheckJudgement, SuiteJudgement, Verdict};
use crate::history::{PlannedCase, RunInfo};

/// A line a case; on a terminal also a bar that says what is going on.
pub struct Progress {
    bar: ProgressBar,
}

impl Default for Progress {
    fn default() -> Self {
        // Log lines go to the same place, and would leave the bar behind.
        let logs = tracing::enabled!(tracing::Level::DEBUG);
        let target = if std::io::stderr().is_terminal() && !logs {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        Self { bar: ProgressBar::with_draw_target(None, target) }
    }
}

impl Reporter for Progress {
    fn begin(&mut self, run: &RunInfo, watched_by: &str, place: &Path) {
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos}/{len} {elapsed_precise} {wide_msg}") {
            self.bar.set_style(style);
        }
        self.bar.set_length(run.cases.len() as u64);
        self.bar.enable_steady_tick(std::time::Duration::from_millis(200));
        let (suite, cases, sut) = (one_line(&run.suite), run.cases.len(), one_line(&run.sut));
        self.say(&format!("{suite}: {cases} cases on {sut}, profile {}", run.profile));
        if run.profile == "quick" {
            self.say("  quick: every case, with smaller transfers and short timeouts; `--profile full` for the specification's own");
        }
        self.say(&format!("  watched by {watched_by} on Linux {}, seed {}", run.kernel, run.seed));
        self.say(&format!("  recorded in {}", place.display()));
    }

    fn doing(&mut self, what: &str) {
        self.bar.set_message(one_line(what));
    }

    fn case_begins(&mut self, case: &PlannedCase) {
        self.bar.set_message(one_line(&format!("{} {}", case.case.number, case.title)));
    }

    fn case_judged(&mut self, case: &CaseJudgement) {
        self.bar.inc(1);
        lines_of_case(case).iter().for_each(|line| self.say(line));
    }

    fn end(&mut self, report: &Report, place: &Path) {
        self.bar.finish_and_clear();
        to_stderr(&format!("{}report: {}\n", render(report), place.display()));
    }
}

impl Progress {
    fn say(&self, line: &str) {
        self.bar.suspend(|| to_stderr(&format!("{line}\n")));
    }
}

/// A case in one line, and in another why it did not pass.
pub(super) fn lines_of_case(case: &CaseJudgement) -> Vec<String> {
    let (number, title) = (one_line(&case.planned.case.number), one_line(&case.planned.title));
    let seconds = case.metrics.duration_ms / 1e3;
    let mut line = format!("{} {number:>5}  {title:<58} {seconds:>7.2} s", word(&case.verdict));
    if case.metrics.transfer_bytes > 0 {
        let rate = case.metrics.throughput_mb_per_s().unwrap_or(0.0);
        line.push_str(&format!("  {} at {rate:.1} MB/s", megabytes(case.metrics.transfer_bytes)));
    } else if let Some(rtt) = &case.metrics.rtt {
        line.push_str(&format!("  rtt p50 {} p99 {}", milliseconds(rtt.p50_ns), milliseconds(rtt.p99_ns)));
    }
    let mut lines = vec![line];
    if let (false, Some(reason)) = (case.verdict.passed(), case.reason()) {
        lines.push(format!("         {}: {}", one_line(&reason.name), one_line(&reason.verdict.to_string())));
    }
    lines
}

/// The text without what a terminal would act on, which is spelled out: control characters but the end of a line, and
/// those that turn the direction of writing.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' => plain.push(' '),
            '\n' => plain.push('\n'),
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                plain.extend(character.escape_unicode());
            }
            other if other.is_control() => plain.extend(other.escape_default()),
            other => plain.push(other),
        }
    }
    plain
}

fn one_line(text: &str) -> String {
    plain(text).replace('\n', " ")
}

/// A reader that went away loses its lines, not the run.
pub fn to_stderr(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// The whole report as text: verdicts a suite, port windows, traffic, findings.
pub fn render(report: &Report) -> String {
    let mut parts = vec![String::new(), verdicts(report)];
    parts.extend(windows(report));
    parts.extend(endings(report));
    parts.extend(agreement(report));
    if report.judgement.metrics.operations > 0 {
        parts.push(traffic(&report.judgement.metrics));
    }
    parts.extend(findings(report));
    parts.push(summary(report));
    parts.extend(report.notes.iter().map(|note| format!("note: {}", plain(note))));
    parts.iter().map(|part| format!("{part}\n")).collect()
}

/// The ports alone, for a run of one case: what was measured, the findings, and the notes.
pub fn render_ports(report: &Report) -> String {
    let mut parts: Vec<String> = windows(report).into_iter().collect();
    parts.extend(findings(report));
    parts.extend(report.notes.iter().cloned());
    parts.iter().map(|part| format!("{part}\n")).collect()
}

fn verdicts(report: &Report) -> String {
    let mut table = table(&["suite", "cases", "pass", "fail", "unknown", "success", "duration"]);
    let all = SuiteJudgement::of("all", &report.judgement.cases);
    for suite in report.judgement.suites.iter().chain([&all]) {
        table.add_row([
            one_line(&suite.name),
            suite.cases().to_string(),
            suite.passed.to_string(),
            suite.failed.to_string(),
            suite.unknown.to_string(),
            format!("{:.0} %", suite.passed as f64 * 100.0 / suite.cases().max(1) as f64),
            format!("{:.1} s", suite.metrics.duration_ms / 1e3),
        ]);
    }
    table.to_string()
}

fn windows(report: &Report) -> Option<String> {
    let head = ["case", "port", "trigger to close", "close to reopen", "trigger to reopen", "closed by", "reopened by"];
    let mut table = table(&head);
    for case in &report.judgement.cases {
        for window in &case.windows {
            let blur = match window.uncertainty_ms {
                0.0 => String::new(),
                blur => format!(" -{blur:.1}"),
            };
            let ms = |value: Option<f64>| value.map_or("never".to_string(), |ms| format!("{ms:.3} ms{blur}"));
            table.add_row([
                one_line(&case.planned.case.number),
                one_line(&format!("{} {}", window.port, window.endpoint)),
                ms(window.closed_after_trigger_ms),
                ms(window.reopened_after_close_ms),
                ms(window.reopened_after_trigger_ms),
                one_line(window.closed_by.as_deref().unwrap_or_default()),
                one_line(window.reopened_by.as_deref().unwrap_or_default()),
            ]);
        }
    }
    (!table.is_empty()).then(|| format!("port windows\n{table}"))
}

fn agreement(report: &Report) -> Option<String> {
    let agreed: Vec<_> = report.judgement.cases.iter().filter_map(|case| case.agreement).collect();
    let most = |of: fn(&Agreed) -> u64| agreed.iter().map(of).max().unwrap_or(0);
    (!agreed.is_empty()).then(|| {
        let sum = |of: fn(&Agreed) -> u64| agreed.iter().map(of).sum::<u64>();
        let alone = match sum(|agreed| agreed.alone) {
            0 => String::new(),
            alone => format!("; of {alone} close_range(2) eBPF alone tells"),
        };
        format!(
            "two witnesses: {} calls of {} cases told alike, {} of them with both ends of a connection; their stamps lie {:.3} ms \
             apart at the most, with clocks aligned to {} ns{alone}",
            sum(|agreed| agreed.calls),
            agreed.len(),
            sum(|agreed| agreed.ends),
            most(|agreed| agreed.apart_ns) as f64 / 1e6,
            most(|agreed| agreed.clock_ns)
        )
    })
}

fn endings(report: &Report) -> Option<String> {
    let lines: Vec<String> = report
        .judgement
        .cases
        .iter()
        .flat_map(|case| case.endings.iter().map(|ending| format!("  {} {ending}", case.planned.case.number)))
        .map(|line| one_line(&line))
        .collect();
    (!lines.is_empty()).then(|| format!("how connections ended\n{}", lines.join("\n")))
}

fn traffic(metrics: &Metrics) -> String {
    let mut text = format!(
        "traffic: {} operations, {} right ({:.1} %); {} sent, {} received",
        metrics.operations,
        metrics.operations_ok,
        metrics.operations_ok as f64 * 100.0 / metrics.operations.max(1) as f64,
        megabytes(metrics.bytes_sent),
        megabytes(metrics.bytes_received)
    );
    if let Some(rate) = metrics.throughput_mb_per_s() {
        text.push_str(&format!("\ntransfers: {} back at {rate:.1} MB/s", megabytes(metrics.transfer_bytes)));
    }
    if let Some(Rtt { count, p50_ns, p90_ns, p99_ns, max_ns }) = metrics.rtt {
        let [p50, p90, p99, max] = [p50_ns, p90_ns, p99_ns, max_ns].map(milliseconds);
        text.push_str(&format!("\nround trips: {count}; p50 {p50}, p90 {p90}, p99 {p99}, max {max}"));
    }
    text
}

fn findings(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    let not_run = report.judgement.cases.iter().filter(|case| case.checks.is_empty());
    let not_run: Vec<&str> = not_run.map(|case| case.planned.case.number.as_str()).collect();
    let bad = report.judgement.cases.iter().filter(|case| !case.verdict.passed() && !case.checks.is_empty());
    for case in bad {
        let named = format!("{} {}", case.planned.case, case.planned.title);
        lines.push(format!("{} {}", word(&case.verdict), one_line(&named)));
        for check in case.checks.iter().filter(|check| !check.verdict.passed()) {
            lines.push(format!("    {}", plain(&format!("{}: {}", check.name, check.verdict))));
            if let Verdict::Fail(finding) = &check.verdict {
                lines.extend(finding.around.iter().map(|record| format!("        {}", one_line(record))));
            }
        }
    }
    if !not_run.is_empty() {
        lines.push(format!(
            "{} {} {} not run: {}",
            word(&Verdict::unknown("")),
            not_run.len(),
            if not_run.len() == 1 { "case was" } else { "cases were" },
            one_line(&ranges(not_run.iter().copied()))
        ));
    }
    let system = report.judgement.system.iter().filter(|check| !check.verdict.passed());
    let said = |check: &CheckJudgement| plain(&format!("{}: {}", check.name, check.verdict));
    lines.extend(system.map(|check| format!("{} {}", word(&check.verdict), said(check))));
    lines
}

fn summary(report: &Report) -> String {
    let all = SuiteJudgement::of("all", &report.judgement.cases);
    let rung =
        report.judgement.rung.as_ref().map_or("nothing".to_string(), |(rung, uncertainty_ns)| match uncertainty_ns {
            0 => format!("{rung}, no uncertainty beyond the clock"),
            ns => format!("{rung}, uncertainty up to {:.1} ms", *ns as f64 / 1e6),
        });
    let broken = report.judgement.system.iter().filter(|check| !check.verdict.passed()).count();
    let broken = if broken > 0 { format!(", {broken} processes did not live and stop") } else { String::new() };
    let rung = one_line(&rung);
    format!(
        "{} {} passed, {} failed, {} unknown{broken} in {:.1} s; witness: {rung}",
        word(&report.judgement.verdict),
        all.passed,
        all.failed,
        all.unknown,
        report.judgement.metrics.duration_ms / 1e3
    )
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_header(head.iter().copied());
    // As wide as the terminal; where there is none, as wide as it takes.
    table.set_content_arrangement(ContentArrangement::Dynamic);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The verdict in capitals, seven characters wide, coloured where standard error is a terminal.
pub fn word(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass => "PASS   ".if_supports_color(Stream::Stderr, |text| text.green()).to_string(),
        Verdict::Fail(_) => "FAIL   ".if_supports_color(Stream::Stderr, |text| text.red()).to_string(),
        Verdict::Unknown { .. } => "UNKNOWN".if_supports_color(Stream::Stderr, |text| text.yellow()).to_string(),
    }
}

fn milliseconds(ns: u64) -> String {
    format!("{:.2} ms", ns as f64 / 1e6)
}
