//! The profile of a system: its commands, configuration files, ports and deadlines, as TOML.

mod capture;
mod check;
mod error;
mod place;
#[cfg(test)]
mod properties;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::endpoint::Endpoint;
pub use capture::CaptureSpec;
pub use error::{Flaw, ProfileError};

/// A system under test, as its profile describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name and version.
    pub name: String,
    /// The suite that tests it.
    pub suite: String,
    /// Where it runs.
    #[serde(default)]
    pub network: Network,
    /// Values that the suite and the templates read.
    #[serde(default)]
    pub settings: BTreeMap<String, Setting>,
    /// Values that replace `settings` in a quick run.
    #[serde(default)]
    pub quick: BTreeMap<String, Setting>,
    /// `ADDRESS:PORT` by name: the suite's ports, for templates and clients alike.
    #[serde(default)]
    pub endpoints: BTreeMap<String, Endpoint>,
    /// All ports must listen this long after the start, in ms.
    #[serde(default = "default_ready_deadline")]
    pub ready_deadline_ms: u64,
    /// Where it sends its reports, for a system that does.
    #[serde(default)]
    pub reports: Option<ReportsSpec>,
    /// The processes, in the order in which they start.
    #[serde(default, rename = "process")]
    pub processes: Vec<ProcessSpec>,
    /// The program that captures events, where that is what the suite tests: the suite starts it.
    #[serde(default)]
    pub capture: Option<CaptureSpec>,
}

/// Where a system sends its reports: the harness binds a ZMQ PULL socket, and the system connects to that.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportsSpec {
    /// The topic of every message.
    pub topic: String,
    /// `ipc://PATH` or `tcp://ADDRESS:PORT`; none: a socket of the run's own. Templates know it as `${reports}`.
    #[serde(default)]
    pub bind: Option<String>,
}

/// Where a system runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// In a network namespace made for the run: its ports are free, and nobody else takes them.
    #[default]
    Private,
    /// In the network namespace of the caller.
    Host,
}

/// A value of a profile.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// Text.
    Text(String),
}

/// A process of the system.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessSpec {
    /// Its name: of its log, its folder, and in messages.
    pub name: String,
    /// The program and its arguments, each a template.
    pub command: Vec<String>,
    /// Environment variables beside the inherited ones, each a template.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Files that are written before each start, relative to the process's folder.
    #[serde(default, rename = "file")]
    pub files: Vec<FileSpec>,
    /// Names of the endpoints at which it listens when it is ready.
    #[serde(default)]
    pub listens: Vec<String>,
    /// How it is stopped.
    #[serde(default)]
    pub stop: StopSpec,
    /// Bytes of its log that are kept from the beginning on; of what is longer, the last 64 KiB are kept too.
    #[serde(default = "default_log_limit")]
    pub log_limit_bytes: u64,
}

/// A configuration file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// Relative to the process's folder.
    pub path: PathBuf,
    /// A template.
    pub content: String,
}

/// How a process is stopped.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StopSpec {
    /// The signal that asks it to.
    pub signal: StopSignal,
    /// It is killed when it is still there after this long, in ms.
    pub deadline_ms: u64,
}

impl Default for StopSpec {
    fn default() -> Self {
        Self { signal: StopSignal::Term, deadline_ms: 5_000 }
    }
}

/// A signal that asks a process to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "the names are the signals' names")]
pub enum StopSignal {
    Term,
    Int,
    Quit,
    Hup,
}

impl Profile {
    /// Reads a profile from a file.
    pub fn load(path: &Path) -> Result<Self, ProfileError> {
        let text = std::fs::read_to_string(path).map_err(|source| ProfileError::Read { path: path.into(), source })?;
        Self::parse(path, &text)
    }

    /// Reads a profile from text; `path` is for messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ProfileError> {
        let profile: Self = toml::from_str(text)
            .map_err(|error| ProfileError::Parse { path: path.into(), why: error.to_string().trim_end().into() })?;
        profile.check().map_err(|(place, flaw)| {
            let line = place::line(text, &place);
            ProfileError::Flawed { path: path.into(), line, flaw }
        })?;
        Ok(profile)
    }

    /// Puts the values of a quick run in place.
    pub fn quicken(&mut self) {
        self.settings.append(&mut self.quick);
    }

    /// Replaces a setting, or an endpoint (`endpoint.NAME=ADDRESS:PORT`), that the profile has.
    pub fn set(&mut self, text: &str) -> Result<(), ProfileError> {
        let (key, value) = text.split_once('=').ok_or_else(|| ProfileError::BadOverride(text.into()))?;
        if let Some(name) = key.strip_prefix("endpoint.") {
            let example = self.endpoint(name)?;
            let endpoint = value.parse().ok().filter(|endpoint: &Endpoint| endpoint.port() != 0);
            let bad = || ProfileError::BadEndpoint { key: name.into(), value: value.into(), example };
            self.endpoints.insert(name.into(), endpoint.ok_or_else(bad)?);
            return Ok(());
        }
        self.setting(key)?;
        self.settings.insert(key.into(), Setting::read(value));
        Ok(())
    }

    /// Whether every process can listen where it should, and these backends of ours too, by name.
    pub fn check_collisions(&self, backends: &[(String, Endpoint)]) -> Result<(), ProfileError> {
        let collision =
            |one, other, endpoint| ProfileError::Collision { name: self.name.clone(), one, other, endpoint };
        if let Some((one, other)) = self.collision() {
            let named = |key: &String| format!("the endpoint `{key}`");
            return Err(collision(named(one), named(other), self.endpoints[other]));
        }
        let listens = self.listens()?.into_iter().map(|(process, at)| (format!("the process `{process}`"), at));
        let backends = backends.iter().map(|(backend, at)| (format!("the suite's backend `{backend}`"), *at));
        let mut taken: Vec<(String, Endpoint)> = listens.collect();
        for (backend, at) in backends {
            if let Some((other, _)) = taken.iter().find(|(_, there)| there.collides(at)) {
                return Err(collision(other.clone(), backend, at));
            }
            taken.push((backend, at));
        }
        Ok(())
    }

    /// A text with its variables filled in, `dir` being the folder of whom it is for; `$$` is a dollar sign.
    pub fn fill(&self, text: &str, dir: &Path) -> Result<String, ProfileError> {
        super::template::Template::new(self, dir).fill(text)
    }

    /// The endpoint with a name.
    pub fn endpoint(&self, key: &str) -> Result<Endpoint, ProfileError> {
        self.endpoints.get(key).copied().ok_or_else(|| self.missing("endpoint", key, self.endpoints.keys()))
    }

    /// The setting with a name.
    pub fn setting(&self, key: &str) -> Result<&Setting, ProfileError> {
        self.settings.get(key).ok_or_else(|| self.missing("setting", key, self.settings.keys()))
    }

    /// A setting that is a positive number, where the profile has it.
    pub fn optional_number(&self, key: &str) -> Result<Option<f64>, ProfileError> {
        self.settings.contains_key(key).then(|| self.number(key)).transpose()
    }

    /// A setting that is a positive number.
    pub fn number(&self, key: &str) -> Result<f64, ProfileError> {
        let number = match self.setting(key)? {
            Setting::Integer(number) => *number as f64,
            Setting::Float(number) => *number,
            _ => f64::NAN,
        };
        if number.is_finite() && number > 0.0 {
            return Ok(number);
        }
        let found = self.setting(key)?.to_string();
        Err(ProfileError::WrongType { name: self.name.clone(), key: key.into(), wanted: "a positive number", found })
    }

    /// Every endpoint that some process listens at when it is ready, with the process's name.
    pub fn listens(&self) -> Result<Vec<(String, Endpoint)>, ProfileError> {
        self.processes
            .iter()
            .flat_map(|process| process.listens.iter().map(|name| (process.name.clone(), name)))
            .map(|(process, name)| Ok((process, self.endpoint(name)?)))
            .collect()
    }

    pub(super) fn missing<'a>(
        &self,
        what: &'static str,
        key: &str,
        known: impl Iterator<Item = &'a String>,
    ) -> ProfileError {
        let known = known.map(String::as_str).collect::<Vec<_>>().join(", ");
        ProfileError::Missing { name: self.name.clone(), what, key: key.into(), known }
    }
}

impl Setting {
    fn read(text: &str) -> Self {
        if let Ok(number) = text.parse() {
            Self::Integer(number)
        } else if let Ok(number) = text.parse() {
            Self::Float(number)
        } else if let Ok(truth) = text.parse() {
            Self::Bool(truth)
        } else {
            Self::Text(text.into())
        }
    }
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Bool(truth) => truth.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

fn default_ready_deadline() -> u64 {
    30_000
}

fn default_log_limit() -> u64 {
    64 << 20
}
