//! What can be wrong with a profile, in words that say what to do about it.

use std::path::PathBuf;

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
    #[error("the profile {path} is not valid: {flaw}")]
    Flawed {
        /// Which file, or the name of the built-in profile.
        path: PathBuf,
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
    /// `--set` does not read.
    #[error("`--set {0}` is not KEY=VALUE")]
    BadOverride(String),
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
    /// A quick run replaces what is not there.
    #[error("[quick] replaces the setting `{key}`, but [settings] has none of that name; it has: {known}")]
    NoSetting {
        /// The name in [quick].
        key: String,
        /// The names in [settings].
        known: String,
    },
}
