//! `window`: asserts when a port of any running service closes and reopens, or that it stays open.

mod gate;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::Args;

use self::gate::{Gate, Wanted};
use super::CliError;
use super::observing::{Observing, Session, run_info};
use super::run::default_runs;
use super::signals::{Came, Signals, in_words};
use super::span::{some_span, span};
use crate::checks::{self, Check, PortStays, PortWindow, Reopens, Trigger};
use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::exit_code::Exit;
use crate::history::{CaseId, Event, History, PlannedCase, Recorder, Source};
use crate::observers::procfs::{self, PortFilter};
use crate::observers::{Focus, ObserverError};
use crate::report::{Report, Reporter, json, terminal};
use crate::store::RunDir;

#[derive(Args)]
pub(super) struct Options {
    /// The port; every address at which it listens is judged.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Only the port that a connect to this address would find.
    #[arg(long, value_name = "ADDRESS")]
    addr: Option<std::net::IpAddr>,
    /// It closes at most this long after the trigger; without a trigger there is nothing to count from, and it may close at
    /// any time.
    #[arg(long, value_name = "TIME", value_parser = some_span)]
    closes_within: Option<Duration>,
    /// It reopens this long after its close.
    #[arg(long, value_name = "TIME", value_parser = span)]
    reopens_after: Option<Duration>,
    /// It may reopen this much earlier or later (default: 1s).
    #[arg(long, value_name = "TIME", value_parser = span, requires = "reopens_after")]
    tolerance: Option<Duration>,
    /// It does not close at all.
    #[arg(long, conflicts_with_all = ["closes_within", "reopens_after", "tolerance"])]
    stays_open: bool,
    /// Run this by `sh -c` once the port is watched: its start is what the window counts from.
    #[arg(long, value_name = "CMD")]
    trigger: Option<String>,
    /// Watch for this long at the most (default: 60s; 5s with `--stays-open`).
    #[arg(long = "for", value_name = "TIME", value_parser = some_span)]
    time_limit: Option<Duration>,
    /// The folder of the run directories (default: target/portwitness).
    #[arg(long, value_name = "DIR")]
    runs: Option<PathBuf>,
    /// JSON lines on standard output: one a verdict.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    observing: Observing,
}

/// What the stream brings is taken this often.
const TICK: Duration = Duration::from_millis(10);

pub(super) fn window(options: &Options) -> Result<Exit, CliError> {
    let signals = Signals::hold()?;
    let netns = procfs::own_netns()?;
    options.listens(netns)?;
    let place = RunDir::create(&options.runs.clone().unwrap_or_else(default_runs), "window")?;
    let case = PlannedCase {
        case: CaseId { suite: "window".into(), number: options.port.to_string() },
        title: options.title(),
        spec: "the command line".into(),
    };
    let info = run_info("window", format!("port {}", options.port), netns, vec![case.clone()]);
    let recorder = Recorder::create(&place.history(), info)?;
    let focus = Focus::Ports([options.port].into());
    let session = Session::start(recorder, options.observing.observation(false), focus)?;
    let gates = options.gates(&session)?;
    let what = gates.iter().map(|gate| gate.endpoint.to_string()).collect::<Vec<_>>().join(", ");
    let holder = session.recorder.listeners(|now| gates.first().and_then(|it| now.holder(it.endpoint, netns)).cloned());
    let holder = holder.map_or_else(|| "held by a process that cannot be told".into(), |who| who.to_string());
    terminal::to_stderr(&format!("watching {what} ({holder}) by {}\n", session.describe()));
    if options.closes_within.is_some() && options.trigger.is_none() {
        terminal::to_stderr(
            "no `--trigger`: `--closes-within` has nothing to count from, the close may come at any time\n",
        );
    }
    let mut asserted =
        Asserted { options, session, signals, gates, trigger: None, began: Timestamp::now(), ended: Timestamp::now() };
    let broken = asserted.carry_out(case.case)?;
    asserted.finish(&place, broken)
}

impl Options {
    /// Whether anybody listens at the port now.
    fn listens(&self, netns: u32) -> Result<(), CliError> {
        let listening = procfs::listeners(netns, &PortFilter::These([self.port].into()))?;
        let target = self.addr.map(|addr| Endpoint::new(addr, self.port));
        let wanted = |local: Endpoint| target.is_none_or(|target| local.covers(target, false));
        if !listening.iter().any(|(_, seed)| wanted(seed.local)) {
            let others = listening.iter().map(|(_, seed)| seed.local.to_string()).collect::<Vec<_>>().join(", ");
            let others = if others.is_empty() { String::new() } else { format!(" (but at {others})") };
            let place = target.map_or_else(|| format!("port {}", self.port), |target| target.to_string());
            let why = format!("nobody listens at {place} in this network{others}: start the service first");
            return Err(CliError::new(Exit::SetupFailed, anyhow::anyhow!(why)));
        }
        Ok(())
    }

    fn title(&self) -> String {
        let port = self.port;
        if self.stays_open { format!("port {port} stays open") } else { format!("port {port} closes and reopens") }
    }

    /// A gate for each address that is judged.
    fn gates(&self, session: &Session) -> Result<Vec<Gate>, CliError> {
        let mut endpoints = match self.addr {
            Some(addr) => vec![Endpoint::new(addr, self.port)],
            None => session.recorder.listeners(|listeners| listeners.endpoints()),
        };
        endpoints.dedup();
        if endpoints.is_empty() {
            return Err(anyhow::anyhow!("port {} was closed while the observer was armed", self.port).into());
        }
        let wanted = match (self.stays_open, self.trigger.is_some()) {
            (true, _) => Wanted::Stays,
            (false, triggered) => Wanted::Window {
                closes_within: self.closes_within.filter(|_| triggered),
                reopens: self.reopens_after.map(|after| (after, self.tolerance())),
            },
        };
        Ok(endpoints.into_iter().map(|endpoint| Gate::new(endpoint, wanted)).collect())
    }

    fn tolerance(&self) -> Duration {
        self.tolerance.unwrap_or(Duration::from_secs(1))
    }

    fn time_limit(&self) -> Duration {
        self.time_limit.unwrap_or(Duration::from_secs(if self.stays_open { 5 } else { 60 }))
    }

    /// What the windows count from, in words.
    fn moment(&self) -> String {
        self.trigger.as_ref().map_or_else(|| "the watch began".into(), |command| format!("`{command}`"))
    }

    fn check(&self, endpoint: Endpoint) -> Check {
        let port = format!("port {}", self.port);
        if self.stays_open {
            return Check::PortStays(PortStays { port, endpoint });
        }
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        Check::PortWindow(PortWindow {
            port,
            endpoint,
            trigger: Trigger::Moment { moment: self.moment() },
            closes_within_ms: self.closes_within.filter(|_| self.trigger.is_some()).map(ms),
            reopens: self
                .reopens_after
                .map(|after| Reopens { after_ms: ms(after), tolerance_ms: ms(self.tolerance()) }),
        })
    }
}

/// An assertion that is being carried out.
struct Asserted<'a> {
    options: &'a Options,
    session: Session,
    signals: Signals,
    gates: Vec<Gate>,
    trigger: Option<Child>,
    began: Timestamp,
    ended: Timestamp,
}

/// What kept the assertion from going to its end.
#[derive(Debug)]
enum Broken {
    Interrupted,
    Trigger(String),
    Observer(ObserverError),
}

impl Broken {
    fn in_words(&self) -> String {
        match self {
            Self::Interrupted => "interrupted".into(),
            Self::Trigger(why) => why.clone(),
            Self::Observer(error) => error.to_string(),
        }
    }
}

impl Asserted<'_> {
    /// The case in the history: fence, beginning, trigger, what happens, fence, end.
    fn carry_out(&mut self, case: CaseId) -> Result<Option<Broken>, CliError> {
        self.session.fence()?;
        let checks = self.gates.iter().map(|gate| serde_json::to_value(self.options.check(gate.endpoint)));
        let checks = checks.collect::<Result<Vec<_>, _>>()?;
        let recorder = self.session.recorder.clone();
        // What came until now, seeds included, makes the state in which the case begins.
        self.take_in();
        recorder.record(Source::Runner, Event::CaseBegin { case: case.clone(), checks });
        self.began = Timestamp::now();
        recorder.record(Source::Runner, Event::Moment { name: self.options.moment() });
        let mut broken = self.start_trigger().and_then(|()| self.until_judged()).err();
        self.ended = Timestamp::now();
        if let Err(error) = self.session.fence() {
            broken.get_or_insert(Broken::Observer(error));
        }
        self.take_in();
        let error = broken.as_ref().map(Broken::in_words);
        recorder.record(Source::Runner, Event::CaseEnd { case, error });
        Ok(broken)
    }

    fn start_trigger(&mut self) -> Result<(), Broken> {
        let Some(line) = &self.options.trigger else { return Ok(()) };
        let mut command = Command::new("sh");
        // Standard output is for verdicts.
        command.args(["-c", line]).stdin(Stdio::null()).stdout(std::io::stderr());
        let failed = |error| Broken::Trigger(format!("the trigger `{line}` could not be started: {error}"));
        self.trigger = Some(self.signals.spawn_free(&mut command).map_err(failed)?);
        Ok(())
    }

    fn until_judged(&mut self) -> Result<(), Broken> {
        let began = self.began;
        let deadline = began + self.options.time_limit();
        loop {
            match self.signals.wait(TICK) {
                Some(Came::FromTerminal(_) | Came::Sent(_)) => return Err(Broken::Interrupted),
                Some(Came::Child) | None => {}
            }
            self.take_in();
            self.session.tell_losses().map_err(Broken::Observer)?;
            self.trigger_went_well()?;
            let now = Timestamp::now();
            if now >= deadline || self.gates.iter().all(|gate| gate.is_decided(began, now)) {
                return Ok(());
            }
        }
    }

    fn take_in(&mut self) {
        for record in self.session.stream.try_iter() {
            self.session.lives.take(&record);
            self.gates.iter_mut().for_each(|gate| gate.take(&record));
        }
    }

    /// One that failed did not trigger what the window is about.
    fn trigger_went_well(&mut self) -> Result<(), Broken> {
        let (Some(child), Some(line)) = (&mut self.trigger, &self.options.trigger) else { return Ok(()) };
        match child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) if status.success() => {
                self.trigger = None;
                Ok(())
            }
            Ok(Some(status)) => Err(Broken::Trigger(format!("the trigger `{line}` failed: {}", in_words(status)))),
            Err(error) => Err(Broken::Trigger(format!("the trigger `{line}` cannot be waited for: {error}"))),
        }
    }

    /// Judges what was recorded, as `judge` will do it again.
    fn finish(mut self, place: &RunDir, broken: Option<Broken>) -> Result<Exit, CliError> {
        let after = if self.options.trigger.is_some() { "the trigger" } else { "the watch began" };
        let mut notes = Vec::new();
        if let Some(child) = &mut self.trigger
            && matches!(child.try_wait(), Ok(None))
        {
            notes.push(format!("note: the trigger still runs, as process {}", child.id()));
        }
        let run = self.session.recorder.run().clone();
        let recorder = self.session.recorder.clone();
        let (stopped, ..) = self.session.stop();
        recorder.finish().map_err(|error| anyhow::anyhow!("{error}; `--runs DIR` names another place"))?;
        let judgement = checks::judge(&History::load(&place.history())?);
        // The checks stand in the order of the gates, behind whether the case was carried out.
        let judged = judgement.cases.iter().flat_map(|case| case.checks.iter().skip(1));
        for (gate, check) in self.gates.iter().zip(judged) {
            notes.push(format!("{} {}", terminal::word(&check.verdict), gate.in_words(after, self.began, self.ended)));
        }
        let exit = match broken {
            Some(Broken::Interrupted) => Exit::Interrupted,
            _ => Exit::of(&judgement.verdict),
        };
        if let Err(error) = stopped {
            notes.push(format!("note: {error}"));
        }
        let report = Report { run, judgement, notes, exit_code: exit as u8 };
        json::write(&report, &place.report())?;
        if self.options.json {
            report.judgement.cases.iter().for_each(|case| json::Lines.case_judged(case));
            json::Lines.end(&report, place.path());
        }
        terminal::to_stderr(&format!("{}report: {}\n", terminal::render_ports(&report), place.path().display()));
        Ok(exit)
    }
}
