//! Round trips on one connection, client and echo in one thread of this process.

use portwitness::backends::EchoBackend;
use portwitness::clients::ClientContext;
use portwitness::clients::pingpong::{PingPong, ping_pong};
use portwitness::history::RttHistogram;
use serde::{Deserialize, Serialize};

use super::place;
use crate::cpu;
use crate::observing;

/// How long round trips of 500 bytes took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Rounds {
    /// The median, in ns.
    pub(crate) p50_ns: u64,
    /// 99 of 100 took this long at the most, in ns.
    pub(crate) p99_ns: u64,
    /// CPU time of one, both ends together, in ns.
    pub(crate) cpu_ns: u64,
}

/// Takes `iterations` turns.
pub(crate) fn run(iterations: u64) -> anyhow::Result<Rounds> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let recorder = observing::nowhere();
        let echo = EchoBackend::start(&recorder, "echo", std::net::SocketAddr::from(place(0)).into())?;
        let plan = PingPong { iterations, bytes: 500, delay: std::time::Duration::ZERO };
        let context = ClientContext::new(&recorder, "ping-pong", echo.endpoint());
        let before = cpu::own();
        let finished = ping_pong(&context, 1, 1, plan).await;
        let cpu_ns = (cpu::own() - before) / iterations.max(1);
        echo.stop().await;
        anyhow::ensure!(finished.is_ok(), "the ping-pong ended as {:?}", finished.outcome);
        let p50_ns = quantile(&finished.rtt, 0.5)?;
        let p99_ns = quantile(&finished.rtt, 0.99)?;
        Ok(Rounds { p50_ns, p99_ns, cpu_ns })
    })
}

/// The value below which this share of the round trips lie; an error when there were none.
fn quantile(histogram: &RttHistogram, share: f64) -> anyhow::Result<u64> {
    let total: u64 = histogram.0.iter().map(|(_, count)| count).sum();
    let rank = ((total as f64 * share).ceil() as u64).max(1);
    let mut below = 0;
    let mut buckets = histogram.0.iter();
    let found = buckets.find(|(_, count)| {
        below += count;
        below >= rank
    });
    found.map(|(value, _)| *value).ok_or_else(|| anyhow::anyhow!("no round trip was right"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_quantile_counts_round_trips_not_buckets() {
        let histogram = RttHistogram(vec![(10, 98), (20, 1), (30, 1)]);
        assert_eq!(quantile(&histogram, 0.5).unwrap(), 10);
        assert_eq!(quantile(&histogram, 0.99).unwrap(), 20);
        assert_eq!(quantile(&histogram, 1.0).unwrap(), 30);
        assert!(quantile(&RttHistogram(Vec::new()), 0.5).is_err());
    }
}
