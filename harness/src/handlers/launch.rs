//! Starts a handler's process and puts what it tells into the history; whatever it does, it ends at its deadline.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use super::Scenario;
use super::child::Line;
use crate::endpoint::Tgid;
use crate::history::{Event, HandlerEnd, HandlerStep, Handling, Record, Recorder, Source};

/// A handler that keeps to its deadlines ends by itself; it is killed this long after.
const GRACE: Duration = Duration::from_secs(2);
/// A record of a handler is shorter.
const LONGEST_LINE: u64 = 1 << 20;
/// So much of standard error is kept.
const SAID: usize = 2048;
/// So much of a line that is none is shown.
const SHOWN: usize = 200;

/// How handlers are started.
#[derive(Clone)]
pub struct Launcher {
    /// Where what they tell goes.
    pub recorder: Recorder,
    /// The program that has `handler run`: this one, as a rule.
    pub program: PathBuf,
    /// Environment variables beside the inherited ones.
    pub env: Vec<(String, String)>,
}

impl Launcher {
    /// Carries out a scenario to its end, in a process of its own. When this future is dropped, the process is killed.
    pub async fn run(&self, handler: u64, scenario: &Scenario) -> HandlerEnd {
        let told = match serde_json::to_vec(scenario) {
            Ok(told) => told,
            Err(error) => return self.broken(handler, scenario, error.to_string()),
        };
        let mut command = Command::new(&self.program);
        command.args(["handler", "run"]).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C is for the harness to hear.
        command.process_group(0).kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                let reason = format!("could not start {}: {error}", self.program.display());
                return self.broken(handler, scenario, reason);
            }
        };
        self.start(handler, scenario, child.id().unwrap_or_default());
        let within = scenario.deadline + GRACE;
        let ended = match tokio::time::timeout(within, self.attend(handler, &mut child, &told)).await {
            Ok(ended) => ended,
            Err(_) => HandlerEnd::TimedOut { after_ms: within.as_millis() as u64 },
        };
        // It may have ended already; a killed one is waited for, so that none is left.
        let _ = child.start_kill();
        let _ = tokio::time::timeout(GRACE, child.wait()).await;
        self.record(handler, HandlerStep::End { outcome: ended.clone() });
        ended
    }

    async fn attend(&self, handler: u64, child: &mut Child, told: &[u8]) -> HandlerEnd {
        if let Some(mut stdin) = child.stdin.take() {
            let told = told.to_vec();
            // One that does not listen crashes or says so; its end ends this too.
            tokio::spawn(async move { stdin.write_all(&told).await });
        }
        let said = child.stderr.take().map(|stderr| tokio::spawn(tail(stderr)));
        let ended = match child.stdout.take() {
            Some(stdout) => self.listen(handler, stdout).await,
            None => Ok(None),
        };
        let ended = match ended {
            Ok(ended) => ended,
            Err(line) => return HandlerEnd::Garbage { line },
        };
        let status = child.wait().await;
        match ended {
            Some(ended) => ended,
            None => {
                let said = match said {
                    Some(said) => said.await.unwrap_or_default(),
                    None => String::new(),
                };
                HandlerEnd::Crashed { status: in_words(status), said }
            }
        }
    }

    /// Records what the handler tells; gives its own word on how it ended, or the line that was none.
    async fn listen(&self, handler: u64, stdout: ChildStdout) -> Result<Option<HandlerEnd>, String> {
        let mut lines = BufReader::new(stdout);
        let mut ended = None;
        loop {
            let mut line = Vec::new();
            let read = (&mut lines).take(LONGEST_LINE).read_until(b'\n', &mut line).await;
            match read {
                Ok(0) | Err(_) => return Ok(ended),
                Ok(_) => {}
            }
            let garbage = || String::from_utf8_lossy(&line[..line.len().min(SHOWN)]).trim_end().to_owned();
            let Ok(Line { at, step }) = serde_json::from_slice(&line) else { return Err(garbage()) };
            match step {
                HandlerStep::Start { .. } => return Err(garbage()),
                HandlerStep::End { outcome } => ended = Some(outcome),
                step => {
                    let event = Event::Handler(Handling { handler, step });
                    self.recorder.append(Record { at, uncertainty_ns: 0, source: Source::Handler, event });
                }
            }
        }
    }

    fn start(&self, handler: u64, scenario: &Scenario, pid: u32) {
        let step = HandlerStep::Start {
            name: scenario.name.clone(),
            minipot: scenario.minipot.clone(),
            target: scenario.target,
            address: scenario.address,
            marker: scenario.marker.clone(),
            pid: Tgid(pid),
        };
        self.record(handler, step);
    }

    fn broken(&self, handler: u64, scenario: &Scenario, reason: String) -> HandlerEnd {
        self.start(handler, scenario, 0);
        let outcome = HandlerEnd::Broken { reason };
        self.record(handler, HandlerStep::End { outcome: outcome.clone() });
        outcome
    }

    fn record(&self, handler: u64, step: HandlerStep) {
        self.recorder.record(Source::Handler, Event::Handler(Handling { handler, step }));
    }
}

/// The last of what comes.
async fn tail(mut from: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..length]);
        let surplus = kept.len().saturating_sub(SAID);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

fn in_words(status: std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "ended".into(),
        },
        Err(error) => error.to_string(),
    }
}
