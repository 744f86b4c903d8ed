//! portwitness: an integration-test harness for networked systems, with the kernel as its witness.
//!
//! ```text
//! profile + suite ──► runner ──► sut, clients, handlers, backends ──► kernel
//!                       │                                     │
//!                       │             ebpf · scap · sock_diag · procfs · reports   (observers)
//!                       ▼                                     ▼
//!                   operations ───────────────────────►  history  ──► checks ──► verdicts ──► report, store
//! ```
//!
//! What holds throughout:
//! - [`clock`], [`endpoint`] and [`history`] are leaves. [`sut`], [`clients`], [`handlers`], [`backends`] and [`observers`]
//!   write through [`history::Recorder`] and do not know each other. Only [`runner`] knows all roles.
//! - [`checks`] are pure functions of a history: `portwitness judge` gives the same verdicts without root.
//! - Evidence that is missing makes a verdict unknown, never a pass.
//! - There is one clock, CLOCK_MONOTONIC in ns.

pub mod backends;
pub mod case;
pub mod checks;
mod child;
pub mod cli;
pub mod clients;
pub mod clock;
pub mod endpoint;
pub mod exit_code;
pub mod handlers;
pub mod history;
pub mod observers;
pub mod preflight;
#[cfg(test)]
mod properties;
pub mod report;
pub mod runner;
pub mod store;
pub mod suite;
pub mod sut;
pub mod watch;
