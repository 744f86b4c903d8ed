//! A small program that opens and closes ports in a way of its choosing, and says on standard output what it did and
//! between which moments: the truth with which observers are compared.
#![allow(clippy::unwrap_used, reason = "an actor that cannot go on has failed")]

mod claim;
mod descriptors;
mod flap;
mod listeners;
mod processes;
mod programs;
mod script;
mod uring;

use std::process::ExitCode;

use crate::programs::Continuation;
use crate::script::Script;

type Scenario = (&'static str, fn(&Script));

/// What it can play.
const SCENARIOS: [Scenario; 40] = [
    ("plain", listeners::plain),
    ("again", listeners::again),
    ("reuse-port", listeners::reuse_port),
    ("ipv6", listeners::ipv6),
    ("dual-stack", listeners::dual_stack),
    ("ipv6-only", listeners::ipv6_only),
    ("v4-mapped", listeners::v4_mapped),
    ("port-zero", listeners::port_zero),
    ("without-bind", listeners::without_bind),
    ("two-namespaces", listeners::two_namespaces),
    ("unix", listeners::unix),
    ("bound-only", listeners::bound_only),
    ("second-listen", listeners::second_listen),
    ("refused-listen", listeners::refused_listen),
    ("unaccepted", listeners::unaccepted),
    ("mptcp", listeners::mptcp),
    ("many", listeners::many),
    ("older", listeners::older),
    ("duplicate", descriptors::duplicate),
    ("replaced", descriptors::replaced),
    ("close-range", descriptors::close_range),
    ("shut-down", descriptors::shut_down),
    ("dissolved", descriptors::dissolved),
    ("in-flight", descriptors::in_flight),
    ("handed-over", descriptors::handed_over),
    ("garbage", descriptors::garbage),
    ("shared-table", descriptors::shared_table),
    ("held-by-child", processes::held_by_child),
    ("exit", processes::exit),
    ("killed", processes::killed),
    ("killed-pidfd", processes::killed_through_pidfd),
    ("threads", processes::threads),
    ("ended-by-thread", processes::ended_by_thread),
    ("vfork", processes::vfork),
    ("posix-spawn", processes::spawned),
    ("exec-chain", programs::chain),
    ("exec-by-thread", programs::exec_by_thread),
    ("uring-close", uring::close),
    ("uring-accept", uring::accept),
    ("uring-listen", uring::listen),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => SCENARIOS.iter().for_each(|(name, _)| println!("{name}")),
        ["continue", json] => {
            let continuation: Continuation = serde_json::from_str(json).unwrap();
            let script = continuation.script();
            match continuation.step.as_str() {
                "hold" => processes::hold(&script, &continuation),
                "chain-2" => programs::chain_2(&script, &continuation),
                "chain-3" => programs::chain_3(&script, &continuation),
                "after-thread" => programs::after_thread(&script, &continuation),
                other => panic!("no step `{other}`"),
            }
        }
        ["play", name, rest @ ..] => {
            let Some((_, play)) = SCENARIOS.iter().find(|(known, _)| known == name) else {
                eprintln!("no scenario `{name}`; `actor list` names them");
                return ExitCode::from(2);
            };
            rustix::thread::set_name(&std::ffi::CString::new(*name).unwrap()).unwrap();
            play(&Script::new(rest == ["--lockstep"], 0));
        }
        ["flap", at, transitions] => flap::flap(at.parse().unwrap(), transitions.parse().unwrap()),
        _ => {
            eprintln!("actor list | actor play SCENARIO [--lockstep] | actor flap ADDRESS:PORT TRANSITIONS");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
