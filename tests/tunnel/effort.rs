//! Sizes and times: the specification's own, and those of a quick run.

use std::time::Duration;

use portwitness::suite::Effort;

/// How much each case does. Bytes and times; the budgets are what `facts` measured of the real tunnel, with room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Bytes of a data quality transfer: 100 x 1024 x 1024 in the specification (suite 3).
    pub(crate) transfer_bytes: u64,
    /// A transfer that takes longer fails.
    pub(crate) transfer_budget: Duration,
    /// Turns of a ping-pong case: 1000 in the specification (suite 4).
    pub(crate) turns: u64,
    /// Messages of a persistence case: 30 in the specification (suite 2).
    pub(crate) messages: u64,
    /// From one message to the next: 1 s in the specification.
    pub(crate) message_period: Duration,
    /// The sizes of the punishment suite are divided by this; 1 in the specification (suite 7).
    pub(crate) punishment_divisor: u64,
    /// A punishment case that takes longer fails.
    pub(crate) punishment_budget: Duration,
    /// A client gives up when nothing has moved for this long.
    pub(crate) idle: Duration,
}

impl Sizes {
    pub(crate) fn of(effort: Effort) -> Self {
        match effort {
            Effort::Full => Self {
                transfer_bytes: 100 * 1024 * 1024,
                transfer_budget: Duration::from_secs(300),
                turns: 1000,
                messages: 30,
                message_period: Duration::from_secs(1),
                punishment_divisor: 1,
                punishment_budget: Duration::from_secs(600),
                idle: Duration::from_secs(60),
            },
            Effort::Quick => Self {
                transfer_bytes: 6 * 1024 * 1024,
                transfer_budget: Duration::from_secs(60),
                turns: 150,
                messages: 10,
                message_period: Duration::from_millis(400),
                punishment_divisor: 50,
                punishment_budget: Duration::from_secs(120),
                idle: Duration::from_secs(15),
            },
        }
    }
}
