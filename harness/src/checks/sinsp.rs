//! Is a stream of sinsp events what the traffic program says that it did?
//!
//! The statement is the truth; each check looks at one way in which a stream can differ from it, so that each way has a name.

mod calls;
mod event;
mod expect;
mod fields;
mod module;
mod params;
mod selection;
mod storm;
mod story;
mod watched;

use serde::{Deserialize, Serialize};

pub use module::LeavesNothing;
pub use selection::Selection;
pub use storm::Storm;

use super::slice::Slice;
use super::verdict::Verdict;
use story::Story;

/// A check of a stream of events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "aspect", rename_all = "snake_case")]
pub enum SinspCheck {
    /// Events were captured throughout, nothing was lost, and everything has been read.
    Watched,
    /// The traffic program did what the case is about.
    Provoked {
        /// Calls and results: `connect -111`.
        calls: Vec<String>,
    },
    /// Every line can be read, and every event is as its schema says.
    Schema,
    /// Every call gives its events, once, and nothing else does.
    Events,
    /// Every parameter is right.
    Parameters,
    /// Every event names the process that made the call.
    Process,
    /// Events come in the order in which they happened.
    Order,
    /// Every event happened during its call.
    Times,
    /// What the library's own fields say agrees with the rest of the event.
    Fields,
    /// A filter selects just what it should.
    Selection(Selection),
    /// Many calls in a row: each is there, or was counted as lost.
    Storm(Storm),
    /// Attaching and detaching leaves no trace.
    LeavesNothing(LeavesNothing),
}

impl SinspCheck {
    /// What is checked, in a few words.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Watched => "sinsp watched",
            Self::Provoked { .. } => "sinsp traffic",
            Self::Schema => "sinsp schema",
            Self::Events => "sinsp events",
            Self::Parameters => "sinsp parameters",
            Self::Process => "sinsp process",
            Self::Order => "sinsp order",
            Self::Times => "sinsp times",
            Self::Fields => "sinsp fields",
            Self::Selection(_) => "sinsp filter",
            Self::Storm(_) => "sinsp storm",
            Self::LeavesNothing(_) => "sinsp leaves nothing",
        }
    }

    /// Judges a case.
    pub fn judge(&self, slice: &Slice<'_>) -> Verdict {
        match self {
            Self::Watched => watched::watched(slice).map_or_else(Verdict::unknown, |()| Verdict::Pass),
            Self::Provoked { calls } => watched::provoked(slice, calls),
            Self::Schema => watched::schema(slice),
            Self::Events => with_story(slice, params::events),
            Self::Parameters => with_story(slice, params::parameters),
            Self::Process => with_story(slice, params::process),
            Self::Order => with_story(slice, params::order),
            Self::Times => with_story(slice, params::times),
            Self::Fields => with_story(slice, fields::fields),
            Self::Selection(selection) => selection.judge(slice),
            Self::Storm(storm) => storm.judge(slice),
            Self::LeavesNothing(check) => check.judge(slice),
        }
    }
}

/// Judges what was captured in full; otherwise nothing follows from what is missing.
fn with_story(slice: &Slice<'_>, judge: impl FnOnce(&Story<'_>) -> Verdict) -> Verdict {
    match watched::watched(slice).and_then(|()| Story::of(slice)) {
        Ok(story) => judge(&story),
        Err(reason) => Verdict::unknown(reason),
    }
}
