//! Groups 10 to 12: the capture itself.

use std::sync::Arc;

use portwitness::suite::Group;

use crate::sinsp::stage::Stage;

pub(super) fn groups(_: &Arc<Stage>) -> Vec<Group> {
    Vec::new()
}
