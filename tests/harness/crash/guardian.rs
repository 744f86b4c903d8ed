//! The guardian: what it holds, how long it lives, and whom it leaves alone.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::leftovers::numbered;
use super::victim::{Victim, profile, until_there_are};
use crate::observers::stage;
use crate::support::{Started, eventually, processes_with, suites};

/// The guardian of a run.
fn guardian_of(victim: &Victim) -> Pid {
    let list = fs::read_to_string(format!("/proc/{0}/task/{0}/children", victim.pid())).unwrap();
    let is_guardian =
        |pid: &&str| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == "guardian\n");
    let found: Vec<i32> = list.split_whitespace().filter(is_guardian).map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(found.len(), 1, "one guardian among the children {list}");
    Pid::from_raw(found[0]).unwrap()
}

fn lives(pid: Pid) -> bool {
    rustix::process::test_kill_process(pid).is_ok()
}

#[test]
fn it_holds_nothing_and_goes_with_the_run() {
    let mut victim = Victim::start(&["--sut", "reference", "--case", "1.1-1.3"]).begun();
    let guardian = guardian_of(&victim);
    let place = format!("/proc/{}", guardian.as_raw_nonzero());
    let link = |number: &String| fs::read_link(format!("{place}/fd/{number}")).unwrap().to_string_lossy().into_owned();
    let mut held: Vec<String> = numbered(&Path::new(&place).join("fd")).iter().map(link).collect();
    held.sort();
    assert_eq!(held, ["/dev/null", "/dev/null", "/dev/null", "anon_inode:[pidfd]"]);
    assert_eq!(fs::read_link(format!("{place}/cwd")).unwrap(), Path::new("/"));
    assert_eq!(rustix::process::getsid(Some(guardian)), Ok(guardian), "no terminal is its own");
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT, Signal::PIPE] {
        kill_process(guardian, signal).unwrap();
    }
    assert!(lives(guardian));
    assert_eq!(victim.wait().code(), Some(0), "{}", victim.said());
    assert!(!lives(guardian), "the run waited for its end");
    victim.traces.assert_gone();
}

#[test]
fn a_run_goes_on_without_it() {
    let mut victim = Victim::start(&["--sut", "reference", "--case", "1.1-1.3"]).begun();
    kill_process(guardian_of(&victim), Signal::KILL).unwrap();
    assert_eq!(victim.ended().code(), Some(0), "{}", victim.said());
}

#[test]
fn without_it_what_the_system_spawned_would_outlive_a_killed_run() {
    let folder = tempfile::tempdir().unwrap();
    let seconds = format!("306.{}", std::process::id());
    let profile = profile(folder.path(), &format!("(env -i setsid sleep {seconds} &)\nexec \"$0\" \"$@\""));
    let mut victim = Victim::start(&["--sut", profile.to_str().unwrap(), "--suite", "tunnel/failover"]).begun();
    until_there_are(1, &format!("sleep\0{seconds}"));
    kill_process(guardian_of(&victim), Signal::KILL).unwrap();
    victim.send(Signal::KILL);
    victim.wait();
    let stray = processes_with(&format!("sleep\0{seconds}"))[0];
    eventually("the stray alone is left", || victim.traces.left().iter().all(|left| left.contains(&seconds)));
    let left = victim.traces.left();
    assert!(left.iter().any(|left| left.contains("is in the network namespace")), "{left:?}");
    kill_process(Pid::from_raw(stray as i32).unwrap(), Signal::KILL).unwrap();
    victim.traces.assert_gone();
}

#[test]
fn a_visitor_in_the_namespace_of_the_run_is_left_alone() {
    let mut victim = Victim::start(&["--sut", "reference", "--suite", "tunnel/failover"]).begun();
    let namespace = fs::File::open(format!("/proc/{}/ns/net", victim.pid())).unwrap();
    let enter = || {
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(LinkNameSpaceType::Network)).unwrap();
        Started(Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap())
    };
    let mut visitor = std::thread::scope(|scope| scope.spawn(enter).join().unwrap());
    let system = || victim.traces.left().iter().filter(|left| left.contains("reference-tunnel")).count();
    assert!(system() >= 3, "{:?}", victim.traces.left());
    let guardian = guardian_of(&victim);
    victim.send(Signal::KILL);
    victim.wait();
    eventually("the guardian is done", || !lives(guardian));
    assert_eq!(visitor.0.try_wait().unwrap(), None, "the visitor lives");
    drop((visitor, namespace));
    victim.traces.assert_gone();
}

#[test]
fn in_the_network_of_the_caller_the_mark_alone_decides() {
    // In a namespace of its own, whose ports no other test has: for the run it is the host's.
    stage::alone(|| {
        let folder = tempfile::tempdir().unwrap();
        let seconds = format!("302.{}", std::process::id());
        let stray = format!("(setsid sleep {seconds} >/dev/null 2>&1 &)\nexec \"$0\" \"$@\"");
        let profile = profile(folder.path(), &stray);
        // An orphan in the same namespace, which is none of the run's.
        let other = format!("303.{}", std::process::id());
        let shell = format!("(setsid sleep {other} >/dev/null 2>&1 &)");
        assert!(Command::new("sh").args(["-c", &shell]).status().unwrap().success());
        until_there_are(1, &format!("sleep\0{other}"));
        let arguments = ["--sut", profile.to_str().unwrap(), "--network", "host", "--suite", "tunnel/failover"];
        let mut victim = Victim::start(&arguments).begun();
        until_there_are(1, &format!("sleep\0{seconds}"));
        let guardian = guardian_of(&victim);
        victim.send(Signal::KILL);
        victim.ended();
        eventually("the guardian is done", || !lives(guardian));
        let left = processes_with(&format!("sleep\0{other}"));
        assert_eq!(left.len(), 1, "the other one lives");
        kill_process(Pid::from_raw(left[0] as i32).unwrap(), Signal::KILL).unwrap();
    });
}

#[test]
fn it_is_posted_where_the_leader_of_the_process_group_is_outside_of_the_pid_namespace() {
    let folder = tempfile::tempdir().unwrap();
    let seconds = format!("308.{}", std::process::id());
    let profile = profile(folder.path(), &format!("(setsid sleep {seconds} &)\nexec \"$0\" \"$@\""));
    let said = folder.path().join("said");
    // eBPF does not observe in such a namespace.
    let run = suites(&["run", "tunnel", "--suite", "tunnel/failover", "--observer", "sock-diag"]);
    let mut shell = Command::new("unshare");
    shell.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", "\"$@\"; exec sleep 600", "sh"]);
    shell.arg(run.get_program()).args(run.get_args()).arg("--sut").arg(&profile);
    shell.arg("--runs").arg(folder.path().join("runs"));
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&said).unwrap());
    let _shell = Started(shell.spawn().unwrap());
    until_there_are(1, &format!("sleep\0{seconds}"));
    let is_harness = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == "suites\n");
    let harness = processes_with(profile.to_str().unwrap()).into_iter().find(is_harness).unwrap();
    kill_process(Pid::from_raw(harness as i32).unwrap(), Signal::KILL).unwrap();
    eventually("the stray is gone", || processes_with(&format!("sleep\0{seconds}")).is_empty());
    assert!(!fs::read_to_string(&said).unwrap().contains("panicked"));
}
