//! Did operations reach the backend that they should have reached, and no other?

use serde::{Deserialize, Serialize};

use super::slice::{Op, Slice};
use super::verdict::Verdict;
use crate::endpoint::Endpoint;
use crate::history::BackendConnection;

/// The operations of a group reach one backend. A connection is recognised there by its first bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routing {
    /// Which operations.
    pub group: String,
    /// The backend's name, for people.
    pub backend: String,
    /// Where it listens.
    pub endpoint: Endpoint,
}

impl Routing {
    /// Judges every operation that got an answer, and every one whose bytes turned up at some backend.
    pub fn judge(&self, slice: &Slice<'_>) -> Verdict {
        let mut unclaimed = slice.backend_connections();
        let mut judged = 0;
        let mut unasked = None;
        let ops = slice.group(&self.group);
        for op in &ops {
            let Some(end) = &op.end else { continue };
            let there = unclaimed.iter().position(|seen| seen.listen == self.endpoint && carries(seen, op));
            if let Some(found) = there {
                unclaimed.swap_remove(found);
                judged += 1;
                continue;
            }
            if let Some(stray) = unclaimed.iter().find(|seen| carries(seen, op)) {
                return Verdict::fail(
                    format!("`{}` to reach {} at {}", self.group, self.backend, self.endpoint),
                    format!("operation {} reached {} at {}", op.op.0, stray.backend, stray.listen),
                );
            }
            if end.received > 0 && slice.ended.is_none() {
                unasked = Some(format!(
                    "operation {} was answered, and the case broke off before its backend told of it",
                    op.op.0
                ));
            } else if end.received > 0 {
                return Verdict::fail(
                    format!("`{}` to reach {} at {}", self.group, self.backend, self.endpoint),
                    format!("operation {} was answered, yet no backend saw its bytes", op.op.0),
                );
            }
        }
        // What is left over elsewhere, and is whole, went to both.
        let doubled =
            |seen: &&&BackendConnection| seen.listen != self.endpoint && ops.iter().any(|op| op.head == seen.head);
        if let Some(double) = unclaimed.iter().find(doubled) {
            return Verdict::fail(
                format!("`{}` to reach {} at {} alone", self.group, self.backend, self.endpoint),
                format!("its bytes reached {} at {} too", double.backend, double.listen),
            );
        }
        match (unasked, judged) {
            (Some(why), _) => Verdict::unknown(why),
            (None, 0) => Verdict::unknown(format!("no operation of `{}` reached any backend", self.group)),
            (None, _) => Verdict::Pass,
        }
    }
}

/// Whether what a backend received begins as the operation's bytes do: as far as it got, and at least one byte.
fn carries(seen: &BackendConnection, op: &Op<'_>) -> bool {
    !seen.head.is_empty() && !op.head.is_empty() && op.head.starts_with(&seen.head)
}
