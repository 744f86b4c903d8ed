//! Lets the actor play, and gathers what it claims.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use portwitness::clock::Timestamp;

use super::claim::{By, Claim, Did};

/// An actor at work.
pub(super) struct Play {
    actor: Child,
    lines: Lines<BufReader<ChildStdout>>,
    claims: Vec<Claim>,
}

/// The names of all scenarios.
pub(super) fn scenarios() -> Vec<String> {
    let listed = Command::new(env!("CARGO_BIN_EXE_actor")).arg("list").output().unwrap();
    assert!(listed.status.success());
    String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned).collect()
}

impl Play {
    /// Starts a scenario; in lockstep it pauses after each step.
    pub(super) fn start(scenario: &str, lockstep: bool) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_actor"));
        command.args(["play", scenario]).args(lockstep.then_some("--lockstep"));
        let before_ns = Timestamp::now().0;
        let mut actor = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let after_ns = Some(Timestamp::now().0);
        let claim = |did, after_ns, by| Claim { did, before_ns, after_ns, netns: 0, by };
        let ours = By { tgid: Some(std::process::id()), ..By::default() };
        let executed = By { tgid: Some(actor.id()), tid: Some(actor.id()), comm: Some("actor".into()) };
        // A parent goes on as soon as its child has given its memory up, before the new program runs.
        let claims =
            vec![claim(Did::Forked { child: actor.id() }, after_ns, ours), claim(Did::Executed, None, executed)];
        let lines = BufReader::new(actor.stdout.take().unwrap()).lines();
        Self { actor, lines, claims }
    }

    /// Goes on until the actor pauses; false when it has ended.
    pub(super) fn until_pause(&mut self) -> bool {
        for line in self.lines.by_ref() {
            let claim: Claim = serde_json::from_str(&line.unwrap()).unwrap();
            if claim.did == Did::Paused {
                return true;
            }
            self.claims.push(claim);
        }
        false
    }

    /// Lets it go on.
    pub(super) fn go(&mut self) {
        self.actor.stdin.as_mut().unwrap().write_all(b".").unwrap();
    }

    /// Waits for its end, and returns all that was claimed.
    pub(super) fn end(mut self) -> Vec<Claim> {
        let tgid = self.actor.id();
        let status = self.actor.wait().unwrap();
        let ended = Timestamp::now().0;
        assert!(status.success(), "the actor failed: {status}");
        let before_ns = self.claims.iter().map(|claim| claim.before_ns).max().unwrap_or(0);
        // Any of its threads may be the last.
        let by = By { tgid: Some(tgid), ..By::default() };
        self.claims.push(Claim { did: Did::Exited { status: 0 }, before_ns, after_ns: None, netns: 0, by });
        // The program ran when it did something.
        self.claims[1].after_ns = self.claims.get(2).map(|first| first.before_ns);
        for claim in &mut self.claims {
            claim.after_ns.get_or_insert(ended);
        }
        self.claims
    }

    /// Plays on to the end; `watch` is called at each pause.
    pub(super) fn play_on(mut self, mut watch: impl FnMut()) -> Vec<Claim> {
        while self.until_pause() {
            watch();
            self.go();
        }
        self.end()
    }
}
