//! A program that captures events, as a profile describes it.

use serde::Deserialize;

use super::StopSpec;
use crate::history::SinspFormat;

/// How events are captured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureSpec {
    /// The program and its arguments, each a template; the filter that the suite asks for becomes the last one.
    pub command: Vec<String>,
    /// What it prints: `sinsp-events`, `sysdig` or `sinsp-example`.
    pub format: SinspFormat,
    /// The filter that lets sentinels through, where the program does not by itself.
    #[serde(default)]
    pub sentinels: Option<String>,
    /// Whether its lines have fields of the library's that tell again what else stands in them: the two are compared then.
    #[serde(default = "yes")]
    pub fields: bool,
    /// Whether it reads from the module; a stand-in does not.
    #[serde(default = "yes")]
    pub module: bool,
    /// It must capture events this long after its start, in ms.
    #[serde(default = "ready_deadline")]
    pub ready_deadline_ms: u64,
    /// The calls that it is asked to print must have come back after this long, in ms.
    #[serde(default = "fence_deadline")]
    pub fence_deadline_ms: u64,
    /// How it is stopped.
    #[serde(default)]
    pub stop: StopSpec,
}

fn yes() -> bool {
    true
}

fn ready_deadline() -> u64 {
    60_000
}

fn fence_deadline() -> u64 {
    30_000
}
