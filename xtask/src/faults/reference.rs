//! The suites whose reference has faults.

use clap::ValueEnum;

/// A reference system with fault switches, by the suite that it is tested with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reference {
    /// The reference tunnel
    Tunnel,
    /// The reference minipot
    Minipot,
    /// The lying sinsp, in a VM with the scap module
    Sinsp,
}

impl Reference {
    /// The suite's name, which its folder in `tests` has too.
    pub(crate) fn suite(self) -> &'static str {
        match self {
            Self::Tunnel => "tunnel",
            Self::Minipot => "minipot",
            Self::Sinsp => "sinsp",
        }
    }

    /// The program, which lies beside the suites.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Tunnel => "reference-tunnel",
            Self::Minipot => "reference-minipot",
            Self::Sinsp => "reference-sinsp",
        }
    }

    /// Arguments with which the program complains and names its faults.
    pub(crate) fn asks(self) -> &'static [&'static str] {
        match self {
            Self::Tunnel => &["server", "--fault", "?"],
            Self::Minipot | Self::Sinsp => &["--fault", "?"],
        }
    }

    /// Where the matrix stands, from the project's folder.
    pub(crate) fn document(self) -> &'static str {
        match self {
            Self::Tunnel => "FAULTS.md",
            Self::Minipot => "tests/minipot/FAULTS.md",
            Self::Sinsp => "tests/sinsp/FAULTS.md",
        }
    }

    /// Whether its suite takes the scap module, and so a VM.
    pub(crate) fn needs_module(self) -> bool {
        self == Self::Sinsp
    }
}
