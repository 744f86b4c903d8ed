//! The benchmarks, one file each. Every one runs in a process and a network namespace of its own.

mod contradictions;
mod echo;
mod edges;
mod events;
mod growth;
mod loss;
mod memory;
mod observed;
mod pingpong;
mod reports;
mod scap;
mod start;
mod unobserved;

use crate::figure::Section;
use crate::size::Size;

/// A benchmark.
pub(crate) struct Benchmark {
    /// By which it is asked for.
    pub(crate) name: &'static str,
    /// Measures.
    pub(crate) run: fn(Size) -> anyhow::Result<Section>,
}

/// All of them, in the order in which they are run and shown.
pub(crate) const ALL: [Benchmark; 12] = [
    Benchmark { name: "unobserved", run: unobserved::run },
    Benchmark { name: "observed", run: observed::run },
    Benchmark { name: "events", run: events::run },
    Benchmark { name: "loss", run: loss::run },
    Benchmark { name: "edges", run: edges::run },
    Benchmark { name: "contradictions", run: contradictions::run },
    Benchmark { name: "start", run: start::run },
    Benchmark { name: "pingpong", run: pingpong::run },
    Benchmark { name: "echo", run: echo::run },
    Benchmark { name: "memory", run: memory::run },
    Benchmark { name: "growth", run: growth::run },
    Benchmark { name: "reports", run: reports::run },
];

/// Those that take the scap module: `cargo xtask bench --vm` runs them in a guest.
const IN_A_VM: [Benchmark; 1] = [Benchmark { name: "scap", run: scap::run }];

/// The benchmark of this name.
pub(crate) fn find(name: &str) -> anyhow::Result<&'static Benchmark> {
    let names = || ALL.iter().map(|benchmark| benchmark.name).collect::<Vec<_>>().join(", ");
    ALL.iter()
        .chain(&IN_A_VM)
        .find(|benchmark| benchmark.name == name)
        .ok_or_else(|| anyhow::anyhow!("there is no benchmark `{name}`: choose from {}", names()))
}
