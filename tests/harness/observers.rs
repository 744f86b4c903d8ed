//! The observers against the real kernel: each test in a process and a network namespace of its own.

mod causality;
mod causes;
mod connections;
mod focus;
mod ladder;
mod listeners;
mod processes;
mod reliability;
mod seeds;
pub(crate) mod stage;
mod truth;
mod untouched;
