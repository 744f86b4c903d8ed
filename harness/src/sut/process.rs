//! One process of the system: launched in a process group of its own, its output in a log, its stop awaited.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use super::log::Log;
use super::profile::{ProcessSpec, StopSignal, StopSpec};
use super::template::Template;
use super::{SutError, guardian, orphans, wait};
use crate::child;
use crate::history::SutChange;

/// Process groups that are to be gone when this program ends, however it ends.
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// A process that was killed is given up when it is still there after this long.
const KILLED_WITHIN: Duration = Duration::from_secs(5);

/// Kills every process group that is still running, and what left them: for the end that a second Ctrl-C asks for.
pub fn kill_all() {
    let groups = std::mem::take(&mut *GROUPS.lock().unwrap_or_else(PoisonError::into_inner));
    for group in groups {
        // A group that is gone already is what we want.
        let _ = kill_process_group(group, Signal::KILL);
    }
    orphans::kill();
}

/// A process that was launched.
pub(super) struct Running {
    name: String,
    child: Child,
    pid: Pid,
    /// Its process group, which has its number, until that is killed.
    group: Option<Pid>,
    /// Its stop deadline passed.
    killed: bool,
    log: Log,
    stop: StopSpec,
}

/// A process that ended by itself.
#[derive(Debug)]
pub struct Ended {
    /// Its name in the profile.
    pub process: String,
    /// Exit code or signal, in words.
    pub status: String,
    log: PathBuf,
    tail: String,
}

impl Ended {
    pub(super) fn into_start_error(self) -> SutError {
        SutError::DiedAtStart { process: self.process, status: self.status, log: self.log, tail: self.tail }
    }
}

impl Running {
    /// Writes the configuration files into `place` and starts the program there; its log goes to `logs/NAME.log`.
    pub(super) fn launch(
        spec: &ProcessSpec,
        template: &Template<'_>,
        place: &Path,
        logs: &Path,
    ) -> Result<Self, SutError> {
        let write_failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| SutError::Write { path, source }
        };
        std::fs::create_dir_all(place).map_err(write_failed(place))?;
        for file in &spec.files {
            let path = place.join(&file.path);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(write_failed(parent))?;
            }
            std::fs::write(&path, template.fill(&file.content)?).map_err(write_failed(&path))?;
        }
        let arguments: Vec<String> = spec.command.iter().map(|part| template.fill(part)).collect::<Result<_, _>>()?;
        let log = logs.join(format!("{}.log", spec.name));
        let (log, output) = Log::open(&log, spec.log_limit_bytes).map_err(write_failed(&log))?;
        let errors = output.try_clone().map_err(write_failed(log.path()))?;
        let mut command = Command::new(&arguments[0]);
        command.args(&arguments[1..]).current_dir(place).stdin(Stdio::null()).stdout(output).stderr(errors);
        for (name, value) in &spec.env {
            command.env(name, template.fill(value)?);
        }
        command.env(guardian::MARK, guardian::mark());
        command.process_group(0).kill_on_drop(true);
        // What changes its user, and what this one spawns, is left to the guardian.
        child::die_with_parent(command.as_std_mut());
        let failed = |source: std::io::Error| {
            let program = arguments[0].clone();
            let way_out = match source.kind() {
                std::io::ErrorKind::NotFound => {
                    "it is not there: `cargo xtask setup` installs the built-in systems, \
                                                 a profile of your own names its program in `command`"
                }
                _ => "check `command` in the profile",
            };
            SutError::Launch { process: spec.name.clone(), command: program, source, way_out: way_out.into() }
        };
        let child = command.spawn().map_err(failed)?;
        let pid = child.id().and_then(|pid| Pid::from_raw(pid as i32));
        let Some(pid) = pid else { return Err(failed(std::io::Error::other("it ended before it had a pid"))) };
        GROUPS.lock().unwrap_or_else(PoisonError::into_inner).push(pid);
        Ok(Self { name: spec.name.clone(), child, pid, group: Some(pid), killed: false, log, stop: spec.stop.clone() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get() as u32
    }

    pub(super) fn log(&self) -> &Path {
        self.log.path()
    }

    /// Ends the log; says what is missing in it, if anything is.
    pub(super) fn close_log(&mut self) -> Option<String> {
        self.log.close()
    }

    /// The last lines of the log.
    pub(super) fn tail(&self) -> String {
        self.log.tail()
    }

    pub(super) fn try_ended(&mut self) -> Option<Ended> {
        let status = self.child.try_wait().ok().flatten()?;
        self.kill_group();
        Some(Ended { process: self.name.clone(), status: in_words(status), log: self.log().into(), tail: self.tail() })
    }

    pub(super) fn ask_to_stop(&self) {
        let signal = match self.stop.signal {
            StopSignal::Term => Signal::TERM,
            StopSignal::Int => Signal::INT,
            StopSignal::Quit => Signal::QUIT,
            StopSignal::Hup => Signal::HUP,
        };
        // A group that is gone already needs no asking.
        let _ = self.group.map(|group| kill_process_group(group, signal));
    }

    /// Kills what lives of the group, once. The number is ours as long as the leader is not reaped; afterwards the kernel
    /// keeps it from others only while a member lives. So this follows a successful wait at once, and never comes later.
    fn kill_group(&mut self) {
        if let Some(group) = self.group.take() {
            // A group that is gone already is what we want.
            let _ = kill_process_group(group, Signal::KILL);
            GROUPS.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| *other != group);
        }
    }

    /// What became of a process that was asked to stop at `asked`, once it ended; it is killed at its deadline.
    pub(super) fn try_stopped(&mut self, asked: Instant) -> Option<SutChange> {
        let took = asked.elapsed();
        let deadline = Duration::from_millis(self.stop.deadline_ms);
        let process = self.name.clone();
        let status = match self.child.try_wait() {
            Ok(status) => status.map(in_words),
            Err(error) => Some(error.to_string()),
        };
        if self.killed {
            // SIGKILL cannot be refused, but in an uninterruptible system call it has to wait.
            let over = status.is_some() || took >= deadline + KILLED_WITHIN;
            return over.then_some(SutChange::Killed { process, after_ms: self.stop.deadline_ms });
        }
        self.killed = status.is_none() && took >= deadline;
        if self.killed || status.is_some() {
            self.kill_group();
        }
        status.map(|status| SutChange::Stopped { process, took_ms: took.as_millis() as u64, status })
    }
}

impl Running {
    /// Kills what is left of it, at once.
    pub(super) fn end(&mut self) {
        // Only a process that was not waited for still has its group here: the start failed, or a panic.
        if self.group.is_none() {
            return;
        }
        self.kill_group();
        let deadline = Instant::now() + KILLED_WITHIN;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(wait::POLL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "ended".into(),
    }
}
