//! Pure functions from a history to verdicts: no root, no kernel, no runtime, only what was recorded.
//!
//! A case's checks are data. The runner writes them into the history when the case begins, so that a stored history
//! is judged again by any build of this program, with or without the suite that made it.

pub mod agreement;
mod calls;
pub mod causality;
pub mod connection;
pub mod conversation;
pub mod coverage;
pub mod ending;
pub mod judge;
pub mod left_open;
pub mod metrics;
pub mod pace;
pub mod port_window;
#[cfg(test)]
pub(crate) mod properties;
pub mod reports;
pub mod resources;
pub mod routing;
pub mod sinsp;
pub mod slice;
mod system;
pub mod traffic;
pub mod verdict;
mod who;
pub mod witnessed;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use connection::{Endings, StaysConnected};
pub use conversation::Conversations;
pub use ending::SystemEnds;
pub use judge::{CaseJudgement, CheckJudgement, Judge, Judgement, SuiteJudgement, judge, judge_case, judge_stream};
pub use left_open::NoneLeftOpen;
pub use pace::{Pace, Silence};
pub use port_window::{PortStays, PortWindow, Reopens, Trigger};
pub use reports::Reports;
pub use resources::Growth;
pub use routing::Routing;
pub use sinsp::{LeavesNothing, Selection, SinspCheck, Storm};
pub use slice::Slice;
pub use traffic::{Traffic, Turns};
pub use verdict::{Finding, Verdict};
pub use witnessed::{ConnectionsReported, ListenersAre, SystemCloses};

/// A check, with everything that it needs to judge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "check", rename_all = "snake_case")]
pub enum Check {
    /// The kernel was watched, without a gap, to the end of the case.
    Coverage,
    /// No connect of a client contradicts what the kernel said of the port.
    Causality,
    /// No process of the system under test died.
    Alive,
    /// Two witnesses tell the same of every system call.
    Agreement,
    /// A port closes and reopens inside its windows.
    PortWindow(PortWindow),
    /// A port listens throughout.
    PortStays(PortStays),
    /// Enough operations brought every byte back.
    Traffic(Traffic),
    /// Enough turns of one connection were answered.
    Turns(Turns),
    /// Operations reached the backend that they should.
    Routing(Routing),
    /// Connections were accepted, and the system did not close them.
    StaysConnected(StaysConnected),
    /// Connections ended in a way that can be told.
    Endings(Endings),
    /// The system closed the connections whose clients have ended.
    NoneLeftOpen(NoneLeftOpen),
    /// The system gave back memory and sockets.
    Growth(Growth),
    /// Round trips were about as fast as they should be.
    Pace(Pace),
    /// No connection stood still for long.
    Silence(Silence),
    /// Events of sinsp are what the traffic program did.
    Sinsp(SinspCheck),
    /// The conversations of handlers went as they should.
    Conversations(Conversations),
    /// Reports say what happened, in one aspect.
    Reports(Reports),
    /// The kernel saw the connections that reports tell of, and no others.
    ConnectionsReported(ConnectionsReported),
    /// The system closed connections, as the kernel saw it.
    SystemCloses(SystemCloses),
    /// The system's processes listen where they should, and nowhere else.
    ListenersAre(ListenersAre),
    /// The system ended when it was asked to, or had lost a process.
    SystemEnds(SystemEnds),
}

impl Check {
    /// What is checked, in a few words.
    pub fn name(&self) -> String {
        match self {
            Self::Coverage => "coverage".into(),
            Self::Causality => "causality".into(),
            Self::Alive => "alive".into(),
            Self::Agreement => "agreement".into(),
            Self::PortWindow(check) => format!("window of {}", check.port),
            Self::PortStays(check) => format!("{} stays open", check.port),
            Self::Traffic(check) => format!("traffic of {}", check.group),
            Self::Turns(check) => format!("turns of {}", check.group),
            Self::Routing(check) => format!("routing of {}", check.group),
            Self::StaysConnected(check) => format!("connection of {}", check.group),
            Self::Endings(check) => format!("endings of {}", check.group),
            Self::NoneLeftOpen(_) => "no connection left open".into(),
            Self::Growth(_) => "memory and sockets".into(),
            Self::Pace(check) => format!("pace of {}", check.group),
            Self::Silence(check) => format!("silence of {}", check.group),
            Self::Sinsp(check) => check.name().into(),
            Self::Conversations(_) => "conversations".into(),
            Self::Reports(check) => check.name(),
            Self::ConnectionsReported(_) => "connections and reports".into(),
            Self::SystemCloses(_) => "closed by the system".into(),
            Self::ListenersAre(_) => "listeners".into(),
            Self::SystemEnds(_) => "end of the system".into(),
        }
    }

    /// Judges a case.
    pub fn judge(&self, slice: &Slice<'_>) -> Verdict {
        match self {
            Self::Coverage => coverage::judge(slice),
            Self::Causality => causality::judge(slice),
            Self::Alive => coverage::alive(slice),
            Self::Agreement => agreement::judge(slice),
            Self::PortWindow(check) => check.judge(slice),
            Self::PortStays(check) => check.judge(slice),
            Self::Traffic(check) => check.judge(slice),
            Self::Turns(check) => check.judge(slice),
            Self::Routing(check) => check.judge(slice),
            Self::StaysConnected(check) => check.judge(slice),
            Self::Endings(check) => check.judge(slice),
            Self::NoneLeftOpen(check) => check.judge(slice),
            Self::Growth(check) => check.judge(slice),
            Self::Pace(check) => check.judge(slice),
            Self::Silence(check) => check.judge(slice),
            Self::Sinsp(check) => check.judge(slice),
            Self::Conversations(check) => check.judge(slice),
            Self::Reports(check) => check.judge(slice),
            Self::ConnectionsReported(check) => check.judge(slice),
            Self::SystemCloses(check) => check.judge(slice),
            Self::ListenersAre(check) => check.judge(slice),
            Self::SystemEnds(check) => check.judge(slice),
        }
    }
}
