//! Every way for a run to end, with a system that leaves behind what it can.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use super::leftovers::numbered;
use super::victim::{Victim, profile, until_there_are};
use crate::support::eventually;

/// The seconds that a stray sleeps for: nobody else's command line has them.
fn seconds(test: u32) -> String {
    format!("301.{test}{}", std::process::id())
}

/// A system whose server has forked away twice, each time into a session of its own: once with all descriptors closed,
/// once with a clear environment; which has a child without an environment in its process group, and one that is a zombie.
fn strays(folder: &Path, test: u32) -> PathBuf {
    let script = format!(
        r#"
(setsid sh -c 'exec 0<&- 1>&- 2>&-; exec sleep {seconds}' &)
(env -i setsid sleep {seconds} &)
(env -i sleep {seconds} &)
true &
exec "$0" "$@"
"#,
        seconds = seconds(test)
    );
    profile(folder, &script)
}

/// A run in whose system the strays live, in its first case.
fn begun(test: u32, further: &[&str]) -> (Victim, Zombie) {
    let folder = tempfile::tempdir().unwrap();
    let profile = strays(folder.path(), test);
    let arguments = ["--sut", profile.to_str().unwrap(), "--suite", "tunnel/failover"];
    let victim = Victim::start(&[&arguments, further].concat()).begun();
    until_there_are(3, &format!("sleep\0{}", seconds(test)));
    let zombie = Zombie::of_the_server(&victim.place().unwrap());
    (victim, zombie)
}

/// A process that has ended, whose parent does not care.
struct Zombie {
    pid: String,
    started: String,
}

impl Zombie {
    fn of_the_server(place: &Path) -> Self {
        let server = |pid: &String| {
            std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == place.join("sut/server"))
                && std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.starts_with("reference"))
        };
        let server = numbered(Path::new("/proc")).into_iter().find(server).unwrap();
        let is_zombie = |pid: &String| stat(pid).is_some_and(|stat| stat[0] == "Z" && stat[1] == server);
        let pid = numbered(Path::new("/proc")).into_iter().find(is_zombie).unwrap();
        let started = stat(&pid).unwrap()[19].clone();
        Self { pid, started }
    }

    fn assert_gone(&self) {
        eventually("the zombie is gone", || stat(&self.pid).is_none_or(|stat| stat[19] != self.started));
    }
}

/// The fields of proc_pid_stat(5) from the third on: state, parent, ...
fn stat(pid: &str) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(String::from).collect())
}

#[test]
fn a_run_that_comes_to_its_end_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let profile = strays(folder.path(), 0);
    let mut victim = Victim::start(&["--sut", profile.to_str().unwrap(), "--case", "1.1-1.3"]).begun();
    let zombie = Zombie::of_the_server(&victim.place().unwrap());
    assert_eq!(victim.ended().code(), Some(0), "{}", victim.said());
    victim.says("killed a process that the system left behind").judges_with(0);
    zombie.assert_gone();
}

#[test]
fn ctrl_c_leaves_nothing() {
    let (mut victim, zombie) = begun(1, &[]);
    victim.send(Signal::INT);
    assert_eq!(victim.ended().code(), Some(130), "{}", victim.said());
    victim.judges_with(97);
    zombie.assert_gone();
}

#[test]
fn sigkill_leaves_nothing() {
    let (mut victim, zombie) = begun(2, &[]);
    victim.send(Signal::KILL);
    assert_eq!(victim.ended().signal(), Some(9));
    victim.judges_with(97);
    zombie.assert_gone();
}

#[test]
fn ctrl_c_twice_leaves_the_history_alone_and_judge_makes_the_rest() {
    // The system ignores the first one, so that the second comes while it is being stopped.
    let (mut victim, zombie) = begun(3, &["--set", "fault=ignores-stop"]);
    victim.send(Signal::INT);
    let log = victim.place().unwrap().join("sut/server.log");
    eventually("the system was asked to stop", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains("SIGTERM ignored"))
    });
    victim.send(Signal::INT);
    assert_eq!(victim.ended().code(), Some(130), "{}", victim.said());
    let place = victim.place().unwrap();
    assert!(place.join("history.jsonl").exists());
    assert!(!place.join("report.json").exists() && !place.join("junit.xml").exists());
    victim.judges_with(97);
    let judged = String::from_utf8(victim.judged().stderr).unwrap();
    assert!(judged.contains("13 unknown") && judged.contains("0 failed"), "{judged}");
    zombie.assert_gone();
}

#[test]
fn a_start_that_is_killed_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let profile = strays(folder.path(), 4);
    let arguments = ["--sut", profile.to_str().unwrap(), "--case", "1.1", "--set", "fault=never-listens"];
    let mut victim = Victim::start(&arguments).until("it was launched", |history| history.contains("launched"));
    until_there_are(3, &format!("sleep\0{}", seconds(4)));
    victim.send(Signal::KILL);
    assert_eq!(victim.ended().signal(), Some(9));
    victim.judges_with(97);
}
