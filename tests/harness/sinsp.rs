//! The sinsp observer, its validator and its checks, without a module: on streams that were recorded of every driver, and on
//! programs that misbehave.

mod lies;
mod programs;
mod recorded;
