//! The harness, tested from outside: negative controls, observers, bad input, crash safety.
//!
//! These tests need root, as `cargo xtask test` says: they load eBPF programs and make network namespaces.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod all_cases;
mod bad_input;
mod crash;
mod faults;
mod live;
mod load;
mod minipot;
mod observers;
mod orphans;
mod own_suite;
mod record;
mod second_witness;
mod signals;
mod sinsp;
mod support;
mod unknown;
mod verdicts;
mod watch;
mod window;
mod wrong;
