//! Attach and detach: what the module shows afterwards is what it showed before.

use serde::{Deserialize, Serialize};

use crate::checks::slice::Slice;
use crate::checks::verdict::Verdict;
use crate::history::{Event, ModuleState};

/// Between two moments somebody reads from the module; nothing of that is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeavesNothing {
    /// The moment before.
    pub before: String,
    /// A moment at which the reader was there.
    pub during: String,
    /// The moment after it had gone.
    pub after: String,
}

impl LeavesNothing {
    pub(super) fn judge(&self, slice: &Slice<'_>) -> Verdict {
        let at = |moment: &str| {
            slice.own().iter().find_map(|record| match &record.event {
                Event::Module(state) if state.moment == moment => Some(state),
                _ => None,
            })
        };
        let (Some(before), Some(during), Some(after)) = (at(&self.before), at(&self.during), at(&self.after)) else {
            return Verdict::unknown("what the module shows was not looked at three times");
        };
        if before.references.is_none() {
            return Verdict::unknown("the module is not loaded");
        }
        // Otherwise nothing could have been left behind.
        if during.open_devices <= before.open_devices || during.references <= before.references {
            return Verdict::unknown(format!("nobody was attached meanwhile: {}", told(during)));
        }
        let same = ModuleState { moment: before.moment.clone(), ..after.clone() };
        if same == *before {
            return Verdict::Pass;
        }
        Verdict::fail(format!("the module as it was: {}", told(before)), told(after)).with_records(vec![told(during)])
    }
}

fn told(state: &ModuleState) -> String {
    format!(
        "{}: {} references, {} descriptors of its devices open, {} rings mapped, {} programs, enabled: {}",
        state.moment,
        state.references.map_or("no".into(), |count| count.to_string()),
        state.open_devices,
        state.mapped_rings,
        state.programs,
        if state.enabled.is_empty() { "none".into() } else { state.enabled.join(", ") }
    )
}
