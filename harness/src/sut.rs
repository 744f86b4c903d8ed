//! The system under test: described by a TOML profile, started, waited for, stopped, never left behind.

pub mod ending;
pub mod guardian;
pub mod hosts;
pub mod process;
pub mod profile;
pub mod wait;

mod log;
mod orphans;
mod template;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::history::{Event, Record, Recorder, Source, SutChange};
use process::Running;
pub use process::kill_all;
pub use profile::{Profile, ProfileError};
use template::Template;

/// A running system.
pub struct Sut {
    processes: Vec<Running>,
    /// How many were launched.
    launched: usize,
    recorder: Recorder,
}

/// Why a system did not start.
#[derive(Debug, thiserror::Error)]
pub enum SutError {
    /// The profile asks for something that it does not define.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Somebody else listens where the system should.
    #[error(
        "{endpoint} (`{process}`) is in use by {owner}: stop that, use another port with `--set endpoint.NAME=ADDRESS:PORT`, \
         or run in a network of its own with `--network private`"
    )]
    PortInUse {
        /// Where.
        endpoint: Endpoint,
        /// The process of the profile that should listen there.
        process: String,
        /// Who does.
        owner: String,
    },
    /// A file or folder could not be written.
    #[error("could not write {path}: {source}; `--runs DIR` names another place")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A process could not be launched.
    #[error("could not start `{process}` ({command}): {source}; {way_out}")]
    Launch {
        /// Its name in the profile.
        process: String,
        /// The program.
        command: String,
        /// Why not.
        source: std::io::Error,
        /// What to do about it.
        way_out: String,
    },
    /// A process ended before the system was ready.
    #[error("`{process}` died at start ({status}); its log {log} ends with:\n{tail}")]
    DiedAtStart {
        /// Its name in the profile.
        process: String,
        /// Exit code or signal.
        status: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// Ports that the profile waits for did not listen in time.
    #[error(
        "{missing} did not listen within {after_ms} ms (listening now: {listening}); the log {log} ends with:\n{tail}\n\
         the history ends with:\n{history}"
    )]
    NeverListened {
        /// The endpoints that did not.
        missing: String,
        /// The deadline, in ms.
        after_ms: u64,
        /// What does listen.
        listening: Box<str>,
        /// The log file of the process that should have.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
        /// The last records, a line each.
        history: Box<str>,
    },
    /// Nobody can tell any more whether the ports listen.
    #[error("the observer died while the system was starting: {reason}; run again, or use another with `--observer`")]
    ObserverDied {
        /// Why.
        reason: String,
    },
}

impl Sut {
    /// Starts every process of the profile in its order, and waits until all its ports listen, as the observer sees it.
    /// Each process works in a folder of its own below `folder`, with its log beside it.
    pub async fn start(profile: &Profile, folder: &Path, recorder: &Recorder) -> Result<Self, SutError> {
        ports_are_free(profile, recorder).await?;
        let mut sut = Self { processes: Vec::new(), launched: 0, recorder: recorder.clone() };
        for spec in &profile.processes {
            let place = folder.join(&spec.name);
            let template = Template::new(profile, &place);
            // On a busy machine it may have done its first work, sent a welcome say, before this thread has its turn again.
            let at = Timestamp::now();
            let running = Running::launch(spec, &template, &place, folder)?;
            let launched = SutChange::Launched { process: spec.name.clone(), tgid: running.pid() };
            recorder.append(Record { at, uncertainty_ns: 0, source: Source::Sut, event: Event::Sut(launched) });
            sut.processes.push(running);
            sut.launched += 1;
        }
        // On an error, here and above, the processes that were started end with `sut`.
        sut.wait_ready(profile).await?;
        recorder.record(Source::Sut, Event::Sut(SutChange::Ready));
        Ok(sut)
    }

    async fn wait_ready(&mut self, profile: &Profile) -> Result<(), SutError> {
        let after = Duration::from_millis(profile.ready_deadline_ms);
        let deadline = Instant::now() + after;
        let wanted = profile.listens()?;
        let mut looked_at = 0;
        loop {
            if let Some(reason) = wait::observer_died(&self.recorder, &mut looked_at) {
                return Err(SutError::ObserverDied { reason });
            }
            if let Some(dead) = self.reap_dead().into_iter().next() {
                return Err(dead.into_start_error());
            }
            let missing: Vec<&(String, Endpoint)> =
                wanted.iter().filter(|(_, endpoint)| !wait::listens(&self.recorder, *endpoint)).collect();
            if missing.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let process = self.processes.iter().find(|running| running.name() == missing[0].0);
                let missing: Vec<String> = missing.iter().map(|(name, at)| format!("{at} (`{name}`)")).collect();
                let listening = self.recorder.listeners(|listeners| wait::list(&listeners.endpoints()));
                return Err(SutError::NeverListened {
                    missing: missing.join(", "),
                    after_ms: profile.ready_deadline_ms,
                    listening: listening.into(),
                    log: process.map(|running| running.log().into()).unwrap_or_default(),
                    tail: process.map(Running::tail).unwrap_or_default(),
                    history: wait::last_records(&self.recorder).into(),
                });
            }
            tokio::time::sleep(wait::POLL).await;
        }
    }

    /// The processes that ended by themselves since the last call; each is recorded.
    pub fn reap_dead(&mut self) -> Vec<process::Ended> {
        let mut dead = Vec::new();
        self.processes.retain_mut(|running| match running.try_ended() {
            Some(ended) => {
                let died = SutChange::Died { process: ended.process.clone(), status: ended.status.clone() };
                self.recorder.record(Source::Sut, Event::Sut(died));
                close_log(running, &self.recorder);
                dead.push(ended);
                false
            }
            None => true,
        });
        dead
    }

    /// Whether every process that was launched is running, as far as is known: see [`Self::reap_dead`].
    pub fn is_whole(&self) -> bool {
        self.processes.len() == self.launched
    }

    /// The processes that are running, as far as is known: name in the profile, and pid.
    pub fn processes(&self) -> impl Iterator<Item = (&str, u32)> {
        self.processes.iter().map(|running| (running.name(), running.pid()))
    }

    /// Asks every process to stop, waits for all of them until their deadlines, which begin now, and kills what is left,
    /// with all that they spawned.
    pub async fn stop(mut self) {
        self.reap_dead();
        let asked = Instant::now();
        for running in &self.processes {
            running.ask_to_stop();
        }
        while !self.processes.is_empty() {
            self.processes.retain_mut(|running| match running.try_stopped(asked) {
                Some(change) => {
                    self.recorder.record(Source::Sut, Event::Sut(change));
                    close_log(running, &self.recorder);
                    false
                }
                None => true,
            });
            tokio::time::sleep(wait::POLL).await;
        }
    }
}

/// However the system ends, after a stop, a start that failed or was interrupted, or a panic: nothing of it lives on.
impl Drop for Sut {
    fn drop(&mut self) {
        for mut running in self.processes.drain(..) {
            running.end();
            close_log(&mut running, &self.recorder);
        }
        orphans::kill();
    }
}

fn close_log(running: &mut Running, recorder: &Recorder) {
    if let Some(text) = running.close_log() {
        tracing::warn!("{text}");
        recorder.record(Source::Sut, Event::Note { text });
    }
}

/// What an earlier start of the system left behind is given a moment to be reported as closed.
async fn ports_are_free(profile: &Profile, recorder: &Recorder) -> Result<(), SutError> {
    let deadline = Instant::now() + Duration::from_secs(1);
    let netns = recorder.run().netns;
    // Who is in the way, in words.
    let taken = |endpoint| {
        recorder.listeners(|all| {
            let (at, by) = all.in_the_way(endpoint, netns)?;
            let unnamed =
                || format!("a process that the observer cannot name (`ss -ltnp 'sport = :{}'` can)", at.port());
            Some(format!("{} at {at}", by.map_or_else(unnamed, ToString::to_string)))
        })
    };
    for (process, endpoint) in profile.listens()? {
        while let Some(owner) = taken(endpoint) {
            if Instant::now() >= deadline {
                return Err(SutError::PortInUse { endpoint, process, owner });
            }
            tokio::time::sleep(wait::POLL).await;
        }
    }
    Ok(())
}
