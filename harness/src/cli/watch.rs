//! `watch`: what sockets do, as it happens, in any service.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use clap::Args;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;
use rustix::time::Timespec;

use super::CliError;
use super::observing::{Observing, Session, run_info};
use super::signals::{Came, Signals, in_words, send};
use super::span::some_span;
use crate::clock::Timestamp;
use crate::exit_code::Exit;
use crate::history::{Event, ProcessChange, Record, Recorder};
use crate::observers::{Focus, ObserverError, procfs};
use crate::report::terminal::to_stderr;
use crate::sut::guardian::Territory;
use crate::sut::hosts;
use crate::watch::{AddressFilter, Clock, Filter, Lives, StateFilter, TimeStyle, line, summary};

#[derive(Args)]
pub(super) struct Options {
    /// Follow this process, its threads, its descendants, and the ports at which they listen.
    #[arg(long, value_name = "PID", conflicts_with_all = ["ports", "command"])]
    pid: Option<u32>,
    /// Follow this port, whoever listens there, and the connections that it accepts; may be repeated.
    #[arg(long = "port", value_name = "PORT", conflicts_with = "command", value_parser = clap::value_parser!(u16).range(1..))]
    ports: Vec<u16>,
    /// One JSON object an event on standard output, as history.jsonl has it.
    #[arg(long)]
    json: bool,
    /// How moments are written.
    #[arg(long, value_enum, default_value_t = TimeStyle::Clock)]
    time: TimeStyle,
    /// Only sockets that enter or leave this state; may be repeated. Without it, lines tell of the beginning and the end of
    /// ports and connections, and JSON of every state.
    #[arg(long = "state", value_enum)]
    states: Vec<StateFilter>,
    /// Only sockets with this ADDRESS or ADDRESS:PORT at either end; may be repeated.
    #[arg(long = "addr", value_name = "ADDRESS")]
    addresses: Vec<AddressFilter>,
    /// Only what a process of this name does, or owns; may be repeated.
    #[arg(long = "comm", value_name = "NAME")]
    comms: Vec<String>,
    /// End after this long, for example 10s (default: at Ctrl-C, or with the command).
    #[arg(long = "for", value_name = "TIME", value_parser = some_span)]
    time_limit: Option<Duration>,
    /// Record the system calls too (who called listen, close, connect, ...); takes a process or a command to follow.
    #[arg(long)]
    causes: bool,
    #[command(flatten)]
    observing: Observing,
    /// Run this command, and follow it with everything that it spawns.
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Standard output and signals are looked at this often; what the observer reads every 10 ms is printed at once.
const TICK: Duration = Duration::from_millis(20);

/// Losses are asked for this often.
const LOSSES: Duration = Duration::from_millis(250);

/// A command that was asked to end is killed after this long.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn watch(options: &Options) -> Result<Exit, CliError> {
    if options.causes && options.pid.is_none() && options.command.is_empty() {
        let why = "`--causes` takes a process to follow: name one with `--pid`, or a command after `--`";
        return Err(CliError::new(Exit::Usage, anyhow::anyhow!(why)));
    }
    // Before any thread is started: threads inherit what is held back.
    let signals = Signals::hold()?;
    let _guardian = (!options.command.is_empty()).then(|| hosts::post_guardian(Territory::Command));
    let (focus, netns, what) = options.scope()?;
    let recorder = Recorder::streaming(run_info("watch", what.clone(), netns, Vec::new()));
    let realtime = recorder.run().realtime;
    let roots = if let Focus::Processes(roots) = &focus { roots.clone() } else { Vec::new() };
    let session = Session::start(recorder, options.observing.observation(options.causes), focus)?;
    to_stderr(&format!("watching {what} by {}\n", session.describe()));
    let clock = Clock::new(options.time, session.lives.began(), realtime);
    let filter =
        Filter { states: options.states.clone(), addresses: options.addresses.clone(), comms: options.comms.clone() };
    let printer = Printer { out: BufWriter::new(io::stdout()), json: options.json, filter, clock };
    let followed = options.pid.map(|_| procfs::tree(&roots)).transpose()?;
    Watch { session, signals, printer, child: None, ending: None, followed }.run(options)
}

impl Options {
    /// What is followed, in which network namespace, and in words.
    fn scope(&self) -> Result<(Focus, u32, String), CliError> {
        let own = procfs::own_netns()?;
        if let Some(thread) = self.pid {
            let netns = procfs::netns_of_process(thread)?;
            let pid = procfs::process_of(thread).unwrap_or(thread);
            return Ok((Focus::Processes(vec![pid]), netns, format!("process {pid}")));
        }
        if !self.ports.is_empty() {
            let ports = self.ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
            return Ok((Focus::Ports(self.ports.iter().copied().collect()), own, format!("port {ports}")));
        }
        if !self.command.is_empty() {
            let what = format!("`{}`", in_one_line(&self.command));
            return Ok((Focus::Children { parent: std::process::id() }, own, what));
        }
        Ok((Focus::Namespace, own, "every TCP socket of this network".into()))
    }
}

/// A command line for people.
pub(super) fn in_one_line(command: &[OsString]) -> String {
    command.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

struct Watch {
    session: Session,
    signals: Signals,
    printer: Printer,
    child: Option<Child>,
    /// The command was asked to end, and is killed at this moment.
    ending: Option<Instant>,
    /// Of a process that is followed and its descendants, those that were there when last looked at.
    followed: Option<BTreeSet<u32>>,
}

/// Why there is nobody left to print for, or nothing left to print.
enum Stop {
    ReaderGone,
    Failed(io::Error),
}

impl Watch {
    fn run(mut self, options: &Options) -> Result<Exit, CliError> {
        if let [program, arguments @ ..] = options.command.as_slice() {
            let child = self.signals.spawn(Command::new(program).args(arguments));
            let failed = |error| anyhow::anyhow!("could not start `{}`: {error}", program.to_string_lossy());
            self.child = Some(child.map_err(failed)?);
        }
        let deadline = options.time_limit.map(|time| Instant::now() + time);
        let stopped = self.until_over(deadline);
        let reader_gone = matches!(stopped, Err(Stop::ReaderGone));
        self.end_child();
        let observer = self.session.describe();
        let now = Timestamp::now();
        let (ended, stream, mut lives) = self.session.stop();
        if !reader_gone {
            let rest = stream.try_iter().try_for_each(|record| self.printer.print(&record, &mut lives));
            if let Err(Stop::Failed(error)) = stopped.and(rest).and_then(|()| self.printer.flush()) {
                return Err(anyhow::anyhow!("could not write to standard output: {error}").into());
            }
            to_stderr(&summary(&lives, now, &observer));
        }
        if let Err(error @ ObserverError::Died { .. }) = &ended {
            to_stderr(&format!("{error}\n"));
        }
        let complete = ended.is_ok() && lives.lost.is_empty() && lives.died.is_none();
        Ok(if complete { Exit::Passed } else { Exit::Unknown })
    }

    /// Prints what comes, until it is over.
    fn until_over(&mut self, deadline: Option<Instant>) -> Result<(), Stop> {
        let mut losses_at = Instant::now() + LOSSES;
        loop {
            let first = self.session.stream.recv_timeout(TICK).ok();
            for record in first.into_iter().chain(self.session.stream.try_iter()) {
                self.printer.print(&record, &mut self.session.lives)?;
                if let (Some(followed), Event::Process(ProcessChange::Fork { child, .. })) =
                    (&mut self.followed, &record.event)
                {
                    followed.insert(child.0);
                }
            }
            self.printer.flush()?;
            if reader_is_gone() {
                return Err(Stop::ReaderGone);
            }
            let now = Instant::now();
            if now >= losses_at {
                losses_at = now + LOSSES;
                // The observer's death is in the stream.
                if self.session.tell_losses().is_err() || self.all_are_gone() {
                    return Ok(());
                }
            }
            if self.is_over(now, deadline) {
                return Ok(());
            }
        }
    }

    /// Nothing is left of the process that was followed.
    fn all_are_gone(&mut self) -> bool {
        let Some(followed) = &mut self.followed else { return false };
        followed.retain(|process| procfs::is_there(*process));
        if followed.is_empty() {
            to_stderr("the process has ended, and all that it spawned\n");
        }
        followed.is_empty()
    }

    /// The command ended, or was asked to and does not; without a command, the time is up or a signal came.
    fn is_over(&mut self, now: Instant, deadline: Option<Instant>) -> bool {
        let asked = match self.signals.wait(Duration::ZERO) {
            // The command has got it too.
            Some(Came::FromTerminal(_)) => Some(None),
            Some(Came::Sent(signal)) => Some(Some(signal)),
            Some(Came::Child) | None => deadline.filter(|deadline| now >= *deadline).map(|_| Some(Signal::TERM)),
        };
        let Some(child) = &mut self.child else { return asked.is_some() };
        if let Ok(Some(status)) = child.try_wait() {
            to_stderr(&format!("the command ended: {}\n", in_words(status)));
            self.child = None;
            return true;
        }
        match (asked, self.ending) {
            (Some(signal), None) => {
                if let Some(signal) = signal {
                    send(child, signal);
                }
                self.ending = Some(now + PATIENCE);
                false
            }
            (_, Some(ending)) => now >= ending,
            (None, None) => false,
        }
    }

    /// Nobody watches the command any more: it is asked to end, and killed when it does not.
    fn end_child(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        send(&child, Signal::TERM);
        let until = self.ending.unwrap_or_else(|| Instant::now() + PATIENCE);
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
            self.signals.wait(TICK);
        }
        if matches!(child.try_wait(), Ok(None)) {
            to_stderr("the command did not end, and was killed\n");
            let _ = child.kill();
        }
        let _ = child.wait();
    }
}

struct Printer {
    out: BufWriter<io::Stdout>,
    json: bool,
    filter: Filter,
    clock: Clock,
}

impl Printer {
    fn print(&mut self, record: &Record, lives: &mut Lives) -> Result<(), Stop> {
        let sighting = lives.take(record);
        if !self.filter.takes(&sighting, self.json) {
            return Ok(());
        }
        let told = line(&sighting, lives, &self.clock);
        if self.json {
            if sighting.meaning == crate::watch::Meaning::Lost {
                to_stderr(&format!("{}\n", told.unwrap_or_default()));
            }
            let written = serde_json::to_writer(&mut self.out, record).map_err(io::Error::from);
            return written.and_then(|()| self.out.write_all(b"\n")).map_err(Stop::from);
        }
        match told {
            Some(line) => writeln!(self.out, "{line}").map_err(Stop::from),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), Stop> {
        self.out.flush().map_err(Stop::from)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Failed(error),
        }
    }
}

/// Whoever reads standard output has closed it: told before there is something to write.
fn reader_is_gone() -> bool {
    let stdout = io::stdout();
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut watched, Some(&now)).is_ok() && watched[0].revents().contains(PollFlags::ERR)
}
