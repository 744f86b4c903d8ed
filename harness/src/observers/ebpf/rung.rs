//! The capability ladder: what the programs are attached to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A rung of the capability ladder, by what the programs are attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// Tracepoints by their BTF: the cheapest, about 0.19 us an event.
    TpBtf,
    /// Raw tracepoints: 0.26 us.
    RawTp,
    /// Classic tracepoints: 0.32 us, and the only one that needs no BTF.
    Tracepoint,
}

impl Rung {
    /// From the best to the last resort.
    pub const ALL: [Self; 3] = [Self::TpBtf, Self::RawTp, Self::Tracepoint];

    /// Its name, in settings and in the history.
    pub fn name(self) -> &'static str {
        match self {
            Self::TpBtf => "tp_btf",
            Self::RawTp => "raw_tp",
            Self::Tracepoint => "tracepoint",
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
