//! Events of the scap module as a program on libsinsp prints them: started, read line by line, fenced, ended.
//!
//! The program may stop, die, print garbage or nothing at all: each is a record, or an error that says what happened, and
//! nobody waits for it longer than the settings say.

mod format;
mod lines;
mod reader;
mod schema;
mod sentinel;

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::fence::{self, Fenced, Fences, Sentinels};
use super::{Observer, ObserverError};
use crate::child;
use crate::history::{Capture, Event, Recorder, SinspFormat, SinspSaid, Source};
use reader::{FIRST, Progress, Versions};

pub use reader::Translator;
pub use schema::{Schema, SchemaError};

/// Which program is run, and how.
#[derive(Clone, Debug)]
pub struct SinspSettings {
    /// Program and arguments; the filter becomes the last one.
    pub command: Vec<String>,
    /// Which events are asked for.
    pub filter: String,
    /// The filter that lets sentinels through, where the program does not by itself.
    pub sentinels: Option<String>,
    /// What it prints.
    pub format: SinspFormat,
    /// The schema of its events, as JSON.
    pub schema: String,
    /// The interface of the driver, where the program does not tell it.
    pub driver: Option<portwitness_kmod::Versions>,
    /// Environment variables beside the inherited ones.
    pub environment: Vec<(String, String)>,
    /// Where it works.
    pub folder: PathBuf,
    /// It must capture events this long after its start.
    pub ready_within: Duration,
    /// A fence's sentinels must come back within this time.
    pub fence_within: Duration,
    /// The signal that ends it.
    pub stop: Signal,
    /// It is killed when it is still there this long after the signal.
    pub stop_within: Duration,
}

/// The observer.
pub struct SinspObserver {
    name: String,
    settings: SinspSettings,
    child: Child,
    recorder: Recorder,
    progress: Arc<Progress>,
    reader: JoinHandle<()>,
    fences: Fences,
    /// The number of the last fence.
    number: u64,
    gone: bool,
    /// It ended with a case, and is started again for the next one.
    rests: bool,
}

/// How often a program that does not say when it begins is asked whether it has.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// A sentinel that has not come back after this long may have been lost.
const PROVOKE_AGAIN: Duration = Duration::from_secs(1);
/// The reader has this long to read what is left in the pipe of a program that has ended.
const READ_OUT: Duration = Duration::from_secs(10);

impl SinspObserver {
    /// Starts the program, and waits until it captures events.
    pub fn start(recorder: &Recorder, settings: SinspSettings) -> Result<Self, ObserverError> {
        let lacking = |lacks: String, way_out: &str| ObserverError::Lacking {
            observer: "sinsp".into(),
            lacks,
            way_out: way_out.into(),
        };
        let schema = Schema::parse(&settings.schema)
            .map_err(|error| lacking(error.to_string(), "mend the schema that the suite brings"))?;
        let mut arguments = settings.command.clone();
        arguments.push(match &settings.sentinels {
            Some(sentinels) => format!("({}) or ({sentinels})", settings.filter),
            None => settings.filter.clone(),
        });
        let mut child = launch(&arguments, &settings).map_err(|error| {
            let way_out = match error.kind() {
                io::ErrorKind::NotFound => {
                    "it is not there: `cargo xtask kmod events`, `kmod sysdig` and `kmod example` bring the programs of the \
                     built-in profiles, and a profile of your own names its program in `capture.command`"
                }
                _ => "check `capture.command` in the profile",
            };
            lacking(format!("`{}` could not be started: {error}", arguments[0]), way_out)
        })?;
        let progress = Arc::new(Progress::default());
        let translator = Translator::new(settings.format, schema);
        let io = |doing: &str| {
            let doing = doing.to_owned();
            move |source| ObserverError::Io { doing, source }
        };
        let reader = child.stdout.take().map(|stdout| {
            let (recorder, progress) = (recorder.clone(), Arc::clone(&progress));
            let read = move || reader::read(stdout, &recorder, translator, &progress);
            std::thread::Builder::new().name("sinsp-reader".into()).spawn(read)
        });
        let reader = reader.ok_or_else(|| io("reading its output")(io::ErrorKind::BrokenPipe.into()))?;
        let reader = reader.map_err(io("starting the reader of its output"))?;
        if let Some(stderr) = child.stderr.take() {
            let (recorder, progress) = (recorder.clone(), Arc::clone(&progress));
            let format = settings.format;
            let read = move || reader::read_errors(stderr, format, &recorder, &progress);
            std::thread::Builder::new().name("sinsp-errors".into()).spawn(read).map_err(io("reading its errors"))?;
        }
        let sentinels = Sentinels::start("sinsp", sentinel::make).map_err(io("starting the fence's thread"))?;
        let fences = Fences::new(sentinels, settings.fence_within, PROVOKE_AGAIN);
        let name =
            PathBuf::from(&arguments[0]).file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
        let recorder = recorder.clone();
        let mut observer = Self {
            name,
            settings,
            child,
            recorder,
            progress,
            reader,
            fences,
            number: FIRST,
            gone: false,
            rests: false,
        };
        // An error ends the program with `observer`.
        observer.await_first()?;
        let versions = observer.progress.look(|seen| seen.versions.clone()).unwrap_or_default();
        let capture = observer.capture(arguments, versions);
        observer.recorder.record(Source::Sinsp, Event::Sinsp(SinspSaid::Started(capture)));
        Ok(observer)
    }

    fn capture(&self, command: Vec<String>, versions: Versions) -> Capture {
        let driver = versions.driver.or(self.settings.driver);
        let unknown = versions.unknown.or_else(|| match (driver, self.settings.format) {
            // Our own program has to tell it.
            (_, SinspFormat::SinspEvents) if versions.library.is_none() => {
                Some("it told nothing of its versions before its first event".into())
            }
            (None, _) => Some("the driver's interface is not known".into()),
            _ => None,
        });
        let (filter, format) = (self.settings.filter.clone(), self.settings.format);
        let pid = self.child.id();
        let (api, schema) = driver.map(|driver| (driver.api.to_string(), driver.schema.to_string())).unzip();
        Capture { command, pid, format, filter, api, schema, library: versions.library, unknown }
    }

    /// Provokes sentinels until one comes back.
    fn await_first(&mut self) -> Result<(), ObserverError> {
        let deadline = Instant::now() + self.settings.ready_within;
        loop {
            let provoked = fence::cpus().and_then(|cpus| self.fences.provoke(FIRST, &cpus, self.settings.fence_within));
            provoked.map_err(unprovoked)?;
            if self.progress.wait(ASK_AGAIN, |seen| seen.sentinels.contains_key(&FIRST)) {
                return Ok(());
            }
            if let Some(status) = self.ended() {
                // What it said last is still on its way.
                self.progress.wait(Duration::from_secs(1), |seen| seen.closed && seen.errors_closed);
                let said = self.progress.look(|seen| seen.errors.trim_end().to_owned());
                let said = if said.is_empty() { "it said nothing".into() } else { format!("it said: {said}") };
                return Err(ObserverError::Lacking {
                    observer: format!("sinsp ({})", self.name),
                    lacks: format!("`{}` ended at once, {status}; {said}", self.name),
                    way_out: "is the module loaded (`cargo xtask kmod status`), and is it one for this program? In a VM with \
                              both: `cargo xtask run --vm --kernel 6.1 sinsp`"
                        .into(),
                });
            }
            if Instant::now() >= deadline {
                let state = self.state();
                return Err(ObserverError::Lacking {
                    observer: format!("sinsp ({})", self.name),
                    lacks: format!(
                        "`{}` printed none of the calls that it should within {:.0} s{state}",
                        self.name,
                        self.settings.ready_within.as_secs_f64()
                    ),
                    way_out:
                        "check `capture.filter` and `capture.format` in the profile, and whether the module is the one \
                              that it reads from"
                            .into(),
                });
            }
        }
    }

    /// How the program ended, when it has.
    fn ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(in_words(status)),
            Err(error) => Some(format!("how is not known: {error}")),
        }
    }

    /// Of a program that does not answer: what /proc says that it does.
    fn state(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let state = status.lines().find_map(|line| line.strip_prefix("State:")).map(str::trim);
        state.map_or_else(String::new, |state| format!(" (its state: {state})"))
    }

    fn say(&self, said: SinspSaid) {
        self.recorder.record(Source::Sinsp, Event::Sinsp(said));
    }

    /// Records that nothing more comes, once.
    fn tell_gone(&mut self, how: String, asked: bool) {
        if !std::mem::replace(&mut self.gone, true) {
            self.say(SinspSaid::Gone { how, asked });
        }
    }

    /// Asks the program to end, and sees to it that it does.
    fn end(&mut self) {
        if self.gone {
            return;
        }
        if let Some(how) = self.ended() {
            self.progress.wait(READ_OUT, |seen| seen.closed);
            return self.tell_gone(how, false);
        }
        self.signal(self.settings.stop);
        // A stopped program would not even see it.
        self.signal(Signal::CONT);
        let deadline = Instant::now() + self.settings.stop_within;
        let how = loop {
            if let Some(how) = self.ended() {
                break how;
            }
            if Instant::now() >= deadline {
                self.signal(Signal::KILL);
                let _ = self.child.wait();
                let after = self.settings.stop_within.as_secs_f64();
                break format!("it did not end within {after:.0} s after the signal, and was killed");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        // A child of the program may hold the pipes: nobody waits for that.
        self.progress.wait(READ_OUT, |seen| seen.closed && seen.errors_closed);
        self.tell_gone(how, true);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = Pid::from_raw(self.child.id() as i32) {
            // A group that has gone is what we want.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Observer for SinspObserver {
    fn describe(&self) -> String {
        format!("sinsp ({})", self.name)
    }

    fn fence(&mut self) -> Result<(), ObserverError> {
        if self.rests {
            *self = Self::start(&self.recorder.clone(), self.settings.clone())?;
        }
        if self.gone {
            return Ok(());
        }
        // Numbers come again after a long time.
        self.number += 1;
        if self.number == format::NUMBERS {
            self.number = FIRST + 1;
            self.progress.change(|seen| seen.sentinels.clear());
        }
        let fenced = self.fences.fence(self.number, &*self.progress).map_err(unprovoked)?;
        let Fenced { began, cpus, seen, .. } = fenced;
        self.say(SinspSaid::Fenced { number: self.number, began, cpus, seen });
        if seen == cpus {
            return Ok(());
        }
        if self.progress.look(|seen| seen.closed) {
            self.progress.wait(Duration::from_millis(200), |_| false);
            match self.ended() {
                Some(how) => self.tell_gone(how, false),
                None => self.tell_gone("it closed its output, and lives on".into(), false),
            }
        } else {
            let (state, name) = (self.state(), &self.name);
            let missing = cpus - seen;
            let text = format!("`{name}` has not printed {missing} of {cpus} sentinels{state}");
            self.say(SinspSaid::Remark { text });
        }
        Ok(())
    }

    fn conclude(&mut self) -> Result<(), ObserverError> {
        if format::tells_losses_at_its_end(self.settings.format) && !self.gone {
            self.end();
            self.rests = true;
        }
        Ok(())
    }

    fn set_causes(&mut self, _: bool) -> Result<(), ObserverError> {
        Ok(())
    }

    fn stop(mut self: Box<Self>) -> Result<(), ObserverError> {
        self.end();
        if self.progress.look(|seen| seen.closed) && self.reader.is_finished() {
            return Ok(());
        }
        tracing::debug!("the output of {} is held open by somebody else", self.name);
        Ok(())
    }
}

/// However it goes: the program does not live on.
impl Drop for SinspObserver {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

fn unprovoked(source: io::Error) -> ObserverError {
    ObserverError::Io { doing: "provoking the sentinels of sinsp".into(), source }
}

fn launch(arguments: &[String], settings: &SinspSettings) -> io::Result<Child> {
    let mut command = Command::new(&arguments[0]);
    command.args(&arguments[1..]).current_dir(&settings.folder).process_group(0);
    command.envs(settings.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    child::die_with_parent(&mut command);
    command.spawn()
}

fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "in an unknown way".into(),
    }
}
