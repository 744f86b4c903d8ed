//! `record`: runs any command, and keeps what it and its descendants did as a run directory.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::time::Duration;

use clap::Args;

use super::CliError;
use super::observing::{Observing, Session, run_info};
use super::run::default_runs;
use super::signals::{Came, Signals, exit_code, in_words, send};
use super::watch::in_one_line;
use crate::clock::Timestamp;
use crate::exit_code::Exit;
use crate::history::{Keep, Recorder};
use crate::observers::{Focus, procfs};
use crate::report::terminal::to_stderr;
use crate::store::RunDir;
use crate::sut::guardian::Territory;
use crate::sut::hosts;
use crate::watch::{Lives, human};

#[derive(Args)]
pub(super) struct Options {
    /// The run directory (default: a new one below target/portwitness).
    #[arg(short = 'o', long = "output", value_name = "DIR")]
    place: Option<PathBuf>,
    /// Write the command's output to sut/command.log in the run directory instead of here.
    #[arg(long)]
    log: bool,
    /// Do not record the system calls (who called listen, close, connect, ...).
    #[arg(long)]
    no_causes: bool,
    #[command(flatten)]
    observing: Observing,
    /// The command; the exit code is its own (127 when it is not there, 126 when it cannot be run, 128 and the signal when
    /// one ended it).
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// What the stream brings is taken this often.
const TICK: Duration = Duration::from_millis(50);

pub(super) fn record(options: &Options) -> Result<ExitCode, CliError> {
    let signals = Signals::hold()?;
    // Before any thread is started, likewise.
    let _guardian = hosts::post_guardian(Territory::Command);
    let what = in_one_line(&options.command);
    let place = match &options.place {
        Some(place) => RunDir::at(place)?,
        None => RunDir::create(&default_runs(), "record")?,
    };
    let info = run_info("record", what.clone(), procfs::own_netns()?, Vec::new());
    let recorder = Recorder::create_keeping(&place.history(), info, Keep::Listeners)?;
    let focus = Focus::Children { parent: std::process::id() };
    let mut session = Session::start(recorder, options.observing.observation(!options.no_causes), focus)?;
    let mut records = session.catch_up();
    let began = Timestamp::now();
    let ended = options.start(&signals, &place).map(|child| run(child, &signals, &mut session, &mut records));
    let took = Timestamp::now().since(began);
    let recorder = session.recorder.clone();
    let observer = session.describe();
    let (stopped, stream, mut lives) = session.stop();
    for record in stream.try_iter() {
        lives.take(&record);
        records += 1;
    }
    let written = recorder.finish();
    let status = match ended {
        Ok(status) => status?,
        Err(error) => {
            to_stderr(&format!("error: could not start `{}`: {error}\n", options.command[0].to_string_lossy()));
            return Ok(ExitCode::from(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }));
        }
    };
    to_stderr(&format!(
        "recorded `{what}` ({}, {}) by {observer}: {records} records, {}; {}\n",
        in_words(status),
        human(took),
        counted(&lives),
        place.path().display()
    ));
    // Both leave the history with gaps, and the command's own exit code does not say so.
    if let Err(error) = stopped {
        to_stderr(&format!("INCOMPLETE: {error}\n"));
    }
    if let Err(error) = written {
        return Err(CliError::new(Exit::SetupFailed, anyhow::anyhow!("{error}: what was recorded until then is kept")));
    }
    Ok(ExitCode::from(exit_code(status)))
}

impl Options {
    fn start(&self, signals: &Signals, place: &RunDir) -> io::Result<Child> {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]);
        if self.log {
            let log = File::create(place.sut().join("command.log"))?;
            command.stdout(log.try_clone()?).stderr(log);
        }
        signals.spawn(&mut command)
    }
}

/// Until the command ends. What this process is sent goes to the command, which the terminal reaches by itself. A history
/// that cannot be written is said at once, and is no reason to end what is not ours.
fn run(mut child: Child, signals: &Signals, session: &mut Session, records: &mut usize) -> io::Result<ExitStatus> {
    let mut is_written = true;
    loop {
        if is_written && session.recorder.file_failed() {
            is_written = false;
            to_stderr("INCOMPLETE: the history can no longer be written; the command goes on\n");
        }
        if let Some(Came::Sent(signal)) = signals.wait(TICK) {
            send(&child, signal);
        }
        *records += session.catch_up();
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
    }
}

fn counted(lives: &Lives) -> String {
    let counts = &lives.counts;
    let lost: u64 = lives.lost.values().sum();
    let lost = if lost == 0 { "nothing lost".into() } else { format!("LOST {lost} RECORDS") };
    format!(
        "ports: {}, connections: {} accepted, {} made, {} failed; {lost}",
        lives.ports().count(),
        counts.accepted,
        counts.connected,
        counts.failed
    )
}
