//! Where the cases play: the capture that a profile describes, and the traffic program.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use portwitness::case::{Context, Step, Witness, step};
use portwitness::history::{Event, Recorder, SinspFormat, Source, Statement};
use portwitness::observers::sinsp::{SinspObserver, SinspSettings};
use portwitness::observers::{Observer, ObserverError};
use portwitness::sut::profile::{CaptureSpec, StopSignal};
use portwitness::sut::{Profile, ProfileError, guardian};
use portwitness_kmod::{Scap, Status, Versions};
use rustix::process::Signal;
use tokio::process::Command;

/// What is captured unless a case says otherwise: the calls of the traffic program that it states.
pub(crate) const OWN_CALLS: &str = "proc.name startswith traffic and evt.type in (socket, socketpair, bind, listen, connect, \
                                    accept, accept4, close, shutdown, sendto, recvfrom, dup, dup2, dup3, clone, fork, vfork, \
                                    execve, procexit)";

/// The capture and the traffic program of a profile.
pub(crate) struct Stage {
    spec: CaptureSpec,
    command: Vec<String>,
    traffic: PathBuf,
}

impl Stage {
    pub(crate) fn of(profile: &Profile) -> Result<Self, ProfileError> {
        let Some(spec) = profile.capture.clone() else {
            let (name, known) =
                (profile.name.clone(), "none of it: the suite sinsp tests the program of this table".into());
            return Err(ProfileError::Missing { name, what: "table", key: "capture".into(), known });
        };
        let nowhere = Path::new("");
        let command = spec.command.iter().map(|part| profile.fill(part, nowhere)).collect::<Result<_, _>>()?;
        let traffic = profile.fill("${bin}/traffic", nowhere)?.into();
        Ok(Self { spec, command, traffic })
    }

    /// Captures what a filter selects.
    pub(crate) fn witness(self: &Arc<Self>, filter: &str) -> Witness {
        let (stage, filter) = (Arc::clone(self), filter.to_owned());
        Arc::new(move |recorder| Ok(Box::new(stage.capture(recorder, &filter)?) as Box<dyn Observer>))
    }

    /// The same, beginning now.
    pub(crate) fn capture(&self, recorder: &Recorder, filter: &str) -> Result<SinspObserver, ObserverError> {
        let driver = if self.spec.module { Some(interface_of(Scap::default().status())?) } else { None };
        let settings = SinspSettings {
            command: self.command.clone(),
            filter: filter.into(),
            sentinels: self.spec.sentinels.clone(),
            format: self.spec.format,
            schema: schema(self.spec.format).into(),
            driver,
            environment: Self::environment().into(),
            folder: std::env::temp_dir(),
            ready_within: Duration::from_millis(self.spec.ready_deadline_ms),
            fence_within: Duration::from_millis(self.spec.fence_deadline_ms),
            stop: signal(self.spec.stop.signal),
            stop_within: Duration::from_millis(self.spec.stop.deadline_ms),
        };
        SinspObserver::start(recorder, settings)
    }

    /// The program that captures, as processes show it.
    pub(crate) fn program(&self) -> &str {
        &self.command[0]
    }

    /// The program and its arguments, to capture what a filter selects.
    pub(crate) fn command(&self, filter: &str) -> std::process::Command {
        let mut command = std::process::Command::new(&self.command[0]);
        command.args(&self.command[1..]).arg(filter).envs(Self::environment());
        command
    }

    /// Whether its lines have fields that are to be compared with what else stands in them.
    pub(crate) fn tells_fields(&self) -> bool {
        self.spec.fields
    }

    /// The traffic program.
    pub(crate) fn traffic(&self) -> &Path {
        &self.traffic
    }

    /// What every process of the run has in its environment.
    pub(crate) fn environment() -> [(String, String); 1] {
        [(guardian::MARK.into(), guardian::mark().into())]
    }

    /// The traffic program plays one of its scenarios.
    pub(crate) fn plays(self: &Arc<Self>, scenario: &'static str) -> Step {
        let stage = Arc::clone(self);
        step(move |context| {
            let stage = Arc::clone(&stage);
            async move { stage.play(&context, &["play", scenario]).await }
        })
    }

    /// Runs the traffic program with these arguments, and records what it states.
    pub(crate) async fn play(&self, context: &Context, arguments: &[&str]) -> anyhow::Result<()> {
        let place = Place::new()?;
        let mut command = Command::new(&self.traffic);
        command.args(arguments).current_dir(&place.0).envs(Self::environment());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let output = command.output().await.with_context(|| format!("{} could not be run", self.traffic.display()))?;
        record(&output, context)
    }
}

/// Records what the traffic program stated.
pub(crate) fn record(output: &Output, context: &Context) -> anyhow::Result<()> {
    let said = String::from_utf8_lossy(&output.stderr);
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let statement: Statement = serde_json::from_str(line).with_context(|| format!("it stated `{line}`"))?;
        context.recorder.record(Source::Client, Event::Stated(Box::new(statement)));
    }
    ensure!(output.status.success(), "the traffic program failed ({}): {}", output.status, said.trim_end());
    Ok(())
}

/// A folder of a case's own, gone when it is over.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new() -> anyhow::Result<Self> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("portwitness-traffic-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("could not remove {}: {error}", self.0.display());
        }
    }
}

/// The interface of the module that is loaded.
fn interface_of(status: Status) -> Result<Versions, ObserverError> {
    let lacking = |lacks: String, way_out: &str| ObserverError::Lacking {
        observer: "sinsp".into(),
        lacks,
        way_out: way_out.into(),
    };
    match status {
        Status::Absent => Err(lacking(
            "the scap module is not loaded".into(),
            "in a VM with everything that it takes: `cargo xtask run --vm --kernel 6.1 sinsp`; or, as root on a kernel that takes \
             modules: `cargo xtask kmod load`",
        )),
        Status::Loaded { versions: Err(why), version, .. } => Err(lacking(
            format!("the scap module {version} does not tell its interface: {why}"),
            "is /dev/scap0 there, and may this process open it? At most five may read at once",
        )),
        Status::Loaded { versions: Ok(versions), version, .. } if !versions.is_known() => Err(lacking(
            format!("the scap module {version} speaks {versions}, which is not known"),
            "unload it, and load one of a known version: `cargo xtask kmod load --driver bookworm`, `--driver trixie` or `--driver sid`",
        )),
        Status::Loaded { versions: Ok(versions), .. } => Ok(versions),
    }
}

fn schema(format: SinspFormat) -> &'static str {
    match format {
        SinspFormat::SinspEvents => include_str!("schema/sinsp-events.json"),
        SinspFormat::Sysdig => include_str!("schema/sysdig.json"),
        SinspFormat::SinspExample => include_str!("schema/sinsp-example.json"),
    }
}

fn signal(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Term => Signal::TERM,
        StopSignal::Int => Signal::INT,
        StopSignal::Quit => Signal::QUIT,
        StopSignal::Hup => Signal::HUP,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use portwitness_kmod::Version;

    use super::*;

    fn loaded(versions: Result<Versions, String>) -> Status {
        Status::Loaded { ours: false, version: "0.1.1dev".into(), versions, users: 0 }
    }

    fn speaking(api: u32, schema: u32) -> Status {
        let version = |major| Version { major, minor: 0, patch: 4 };
        loaded(Ok(Versions { api: version(api), schema: version(schema) }))
    }

    #[test]
    fn a_known_interface_is_told() {
        for (api, schema) in [(1, 1), (8, 3), (8, 4)] {
            let told = interface_of(speaking(api, schema)).unwrap();
            assert_eq!((told.api.major, told.schema.major), (api, schema));
        }
    }

    #[test]
    fn what_is_wrong_with_the_module_is_told_with_the_way_out() {
        for (status, lacks, way_out) in [
            (Status::Absent, "the scap module is not loaded", "cargo xtask run --vm --kernel 6.1 sinsp"),
            (
                speaking(0, 1),
                "the scap module 0.1.1dev speaks API 0.0.4, schema 1.0.4, which is not known",
                "kmod load --driver bookworm",
            ),
            (speaking(11, 4), "speaks API 11.0.4", "--driver sid"),
            // A known interface with events that are not.
            (speaking(8, 5), "speaks API 8.0.4, schema 5.0.4, which is not known", "--driver sid"),
            (
                loaded(Err("/dev/scap0: No such file or directory".into())),
                "the scap module 0.1.1dev does not tell its interface: /dev/scap0: No such file or directory",
                "is /dev/scap0 there",
            ),
        ] {
            let error = interface_of(status).unwrap_err().to_string();
            assert!(error.contains(lacks) && error.contains(way_out), "{error}");
        }
    }
}
