//! What can be wrong with a profile, in words that say what to do about it.

use std::path::PathBuf;

use crate::endpoint::Endpoint;

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file cannot be read.
    #[error(
        "could not read the profile {path}: {source}; `--sut` takes the name of a built-in profile or the path of a TOML file"
    )]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The text is not a profile.
    #[error("the profile {path} is not valid:\n{why}")]
    Parse {
        /// Which file, or the name of the built-in profile.
        path: PathBuf,
        /// What the parser says, with the line.
        why: String,
    },
    /// It contradicts itself.
    #[error("the profile {path}:{line} is not valid: {flaw}")]
    Flawed {
        /// Which file, or the name of the built-in profile.
        path: PathBuf,
        /// Where, counted from 1.
        line: usize,
        /// How.
        flaw: Flaw,
    },
    /// It is for another suite.
    #[error("the profile {name} is for the suite `{found}`, not for `{wanted}`")]
    OtherSuite {
        /// The profile's name.
        name: String,
        /// The suite that it names.
        found: String,
        /// The suite that was to run.
        wanted: String,
    },
    /// A name that is not defined.
    #[error("the profile {name} has no {what} `{key}`; it has: {known}")]
    Missing {
        /// The profile's name.
        name: String,
        /// `endpoint`, `setting` or `template variable`.
        what: &'static str,
        /// The name that was looked up.
        key: String,
        /// The names that there are.
        known: String,
    },
    /// A setting of another type.
    #[error("the setting `{key}` of the profile {name} must be {wanted}, not `{found}`")]
    WrongType {
        /// The profile's name.
        name: String,
        /// The setting.
        key: String,
        /// The type that is needed.
        wanted: &'static str,
        /// What stands there.
        found: String,
    },
    /// `--set` without a value.
    #[error(
        "`--set {0}` is not KEY=VALUE: write `--set SETTING=VALUE`, or `--set endpoint.NAME=ADDRESS:PORT` for a port"
    )]
    BadOverride(String),
    /// `--set` with a value that is no address.
    #[error(
        "`--set endpoint.{key}={value}`: `{value}` is not ADDRESS:PORT with a port from 1; write it like {example}, an IPv6 \
         address in brackets"
    )]
    BadEndpoint {
        /// The endpoint's name.
        key: String,
        /// What stands after the `=`.
        value: String,
        /// Where the endpoint is without it.
        example: Endpoint,
    },
    /// Endpoints that were set are in each other's way.
    #[error(
        "{one} and {other} of the profile {name} would both listen at {endpoint}: give each a port of its own, with \
         `--set endpoint.NAME=ADDRESS:PORT` or in the profile"
    )]
    Collision {
        /// The profile's name.
        name: String,
        /// Who, for example `the endpoint 'web'`.
        one: String,
        /// And who.
        other: String,
        /// Where.
        endpoint: Endpoint,
    },
}

/// What is wrong with a text that reads as a profile.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Nothing to start.
    #[error("it has no process: add a [[process]] with a `name` and a `command`")]
    NoProcess,
    /// A process without a program.
    #[error("the process `{process}` has an empty `command`: name its program there")]
    NoCommand {
        /// Which.
        process: String,
    },
    /// A name that cannot be that of a folder.
    #[error("`{process}` cannot be the name of a process: it names a folder and a log, so write one without `/`")]
    BadName {
        /// Which.
        process: String,
    },
    /// Two processes would share a folder and a log.
    #[error("two processes are named `{process}`: give each a name of its own")]
    SameName {
        /// Which.
        process: String,
    },
    /// A file outside of its process's folder.
    #[error(
        "the file `{path}` of the process `{process}` must be in the process's folder: write a relative path without `..`"
    )]
    Outside {
        /// Whose file.
        process: String,
        /// Where it should be.
        path: PathBuf,
    },
    /// A process listens at an endpoint that is not defined.
    #[error("the process `{process}` listens at `{key}`, but the profile has no endpoint `{key}`; it has: {known}")]
    NoEndpoint {
        /// Which.
        process: String,
        /// The name in `listens`.
        key: String,
        /// The names in [endpoints].
        known: String,
    },
    /// A template that names what is not there.
    #[error("the `{part}` of the process `{process}` cannot be filled in: {why}")]
    Template {
        /// Whose.
        process: String,
        /// `command`, `env` or `file`.
        part: String,
        /// What is wrong.
        why: String,
    },
    /// Settings are put into templates as they are.
    #[error(
        "the setting `{key}` has `{variable}` in it, but settings are not filled in: write that where the setting is used, \
         in a `command`, an `env` or a file's `content`"
    )]
    TemplateInSetting {
        /// Which.
        key: String,
        /// The variable.
        variable: String,
    },
    /// Nobody could tell where it is.
    #[error("the endpoint `{key}` has port 0, which stands for any: write the port that is meant")]
    NoPort {
        /// Which.
        key: String,
    },
    /// Two processes, or one twice, would listen in one place.
    #[error(
        "the endpoints `{one}` and `{other}` collide at {endpoint}, and processes listen at both: give each its own port"
    )]
    Collision {
        /// One name.
        one: String,
        /// The other.
        other: String,
        /// Where the other is.
        endpoint: Endpoint,
    },
    /// A quick run replaces what is not there.
    #[error("[quick] replaces the setting `{key}`, but [settings] has none of that name; it has: {known}")]
    NoSetting {
        /// The name in [quick].
        key: String,
        /// The names in [settings].
        known: String,
    },
}
