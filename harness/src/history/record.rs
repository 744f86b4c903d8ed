//! One observed or performed thing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::handler::Handling;
use super::kernel::{Listening, ProcessChange, SocketState, Syscall};
use super::module::ModuleState;
use super::operation::{BackendConnection, Operation};
use super::report::{Message, ReportsChange};
use super::resources::Resources;
use super::sinsp::SinspSaid;
use super::statement::Statement;
use crate::clock::Timestamp;

/// A line of the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When, in ns of CLOCK_MONOTONIC.
    pub at: Timestamp,
    /// It happened between `at` less this many ns and `at`; zero for what the kernel or the harness stamped itself.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uncertainty_ns: u64,
    /// Who says so.
    pub source: Source,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

impl Record {
    /// A record of this moment.
    pub fn now(source: Source, event: Event) -> Self {
        Self { at: Timestamp::now(), uncertainty_ns: 0, source, event }
    }
}

/// Who wrote a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The eBPF observer.
    Ebpf,
    /// The sock_diag observer (netlink, polled).
    SockDiag,
    /// /proc: what listened before observation began, and what the system holds as a case begins and ends.
    Procfs,
    /// Falco's scap kernel module.
    Scap,
    /// A program on libsinsp, which tells of the scap module's events.
    Sinsp,
    /// The reports that the system sends over ZMQ.
    Reports,
    /// A handler: a scenario that is carried out in a process of its own.
    Handler,
    /// The control of the system under test.
    Sut,
    /// A client of ours.
    Client,
    /// A backend of ours.
    Backend,
    /// The runner.
    Runner,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A TCP socket changed its state.
    SocketState(SocketState),
    /// A socket listened already when observation began.
    Listening(Listening),
    /// A tracked process entered or left a system call.
    Syscall(Syscall),
    /// A tracked process forked, executed or exited.
    Process(ProcessChange),
    /// An observer began, ended or died.
    Observer(ObserverChange),
    /// Records were lost between `since` and this record's time.
    Loss {
        /// Which probe lost them.
        probe: String,
        /// How many.
        count: u64,
        /// The last moment at which none of these was lost yet.
        since: Timestamp,
    },
    /// Every record of what happened before `began` has been read: a sentinel was provoked on each CPU and came back.
    Fence {
        /// When the first sentinel was provoked.
        began: Timestamp,
        /// CPUs on which one was provoked.
        cpus: u32,
        /// Sentinels that came back.
        seen: u32,
    },
    /// A client's operation went a step further.
    Operation(Operation),
    /// A backend of ours is done with a connection, or was asked about it while it was still open.
    Backend(BackendConnection),
    /// A handler went a step further.
    Handler(Handling),
    /// A message of the system came over ZMQ.
    Message(Message),
    /// The socket on which messages come in changed, or its peers.
    Reports(ReportsChange),
    /// What a process of the system held at this moment.
    Resources(Resources),
    /// A program on libsinsp printed something, or ended.
    Sinsp(SinspSaid),
    /// A traffic program says what it did.
    Stated(Box<Statement>),
    /// What the scap module shows at this moment.
    Module(ModuleState),
    /// The system under test was started, became ready, stopped or died.
    Sut(SutChange),
    /// A case begins.
    CaseBegin {
        /// Which.
        case: CaseId,
        /// The checks that judge it, as `checks::Check` writes them.
        checks: Vec<serde_json::Value>,
    },
    /// A case ended.
    CaseEnd {
        /// Which.
        case: CaseId,
        /// Why it could not be carried out as planned; the case is unknown then, unless a check fails.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A moment that checks count from, where no client's operation is it: the start of a command, say.
    Moment {
        /// By which checks name it.
        name: String,
    },
    /// The runner says what it does, for a reader of the history.
    Note {
        /// In words.
        text: String,
    },
}

impl Source {
    /// Whether it is one of the observers that tell which ports are open: every run has one of them. Others watch beside it,
    /// and what becomes of them says nothing of ports.
    pub fn witnesses_ports(self) -> bool {
        matches!(self, Self::Ebpf | Self::SockDiag)
    }
}

/// Which case: the suite's path and the case's number in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CaseId {
    /// For example `tunnel/failover`.
    pub suite: String,
    /// For example `2.6`.
    pub number: String,
}

impl fmt::Display for CaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.suite, self.number)
    }
}

impl FromStr for CaseId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A suite's name may have spaces in it, a number has none.
        let (suite, number) = text.rsplit_once(' ').ok_or_else(|| format!("`{text}` is not `SUITE NUMBER`"))?;
        Ok(Self { suite: suite.into(), number: number.into() })
    }
}

impl Serialize for CaseId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CaseId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What became of an observer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum ObserverChange {
    /// It records from now on.
    Started {
        /// The rung of the capability ladder: `tp_btf`, `raw_tp`, `tracepoint` or `sock_diag`; of another observer, what it is.
        rung: String,
        /// How late a record's `at` can be at the most, in ns.
        // A record has a field of this name already, and both stand side by side in a line of the file.
        #[serde(rename = "max_uncertainty_ns")]
        uncertainty_ns: u64,
        /// Whether it sees every state of the connections too, not only LISTEN.
        sees_connections: bool,
    },
    /// It was stopped by the runner, after everything had been read.
    Stopped,
    /// It goes on, but there is something that it cannot record.
    Lacks {
        /// What, and why.
        what: String,
    },
    /// It stopped by itself.
    Died {
        /// Why.
        reason: String,
    },
}

/// What became of the system under test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum SutChange {
    /// A process was launched.
    Launched {
        /// Its name in the profile.
        process: String,
        /// Its pid.
        tgid: u32,
    },
    /// All that the profile waits for listens.
    Ready,
    /// A case asks a process to end, by a signal: the profile's first one, or a child of it.
    Asked {
        /// Its pid.
        tgid: u32,
        /// The signal, as signal(7) numbers it.
        signal: i32,
    },
    /// A case begins to bring about what the system ends by, as its specification has it.
    Provoked {
        /// What, in words.
        by: String,
    },
    /// A process ended before the run asked it to stop.
    Died {
        /// Its name in the profile.
        process: String,
        /// How: exit code or signal.
        status: String,
    },
    /// A process was asked to stop, and did.
    Stopped {
        /// Its name in the profile.
        process: String,
        /// How long that took, in ms.
        took_ms: u64,
        /// How: exit code or signal.
        status: String,
    },
    /// A process ignored its stop signal and was killed at the deadline.
    Killed {
        /// Its name in the profile.
        process: String,
        /// The deadline, in ms.
        after_ms: u64,
    },
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_may_have_spaces_in_its_name() {
        let case = CaseId { suite: "own/all things".into(), number: "1.1".into() };
        assert_eq!(case.to_string().parse(), Ok(case));
    }
}
