//! What it takes to observe another process's ports, and to hold connections to it: bytes of resident memory.

use portwitness::clients::{ClientContext, hold};
use portwitness::observers::Observer;

use super::place;
use crate::worker::Worker;
use crate::{memory, observing};

/// Bytes that an idle connection has exchanged before it is held.
const BYTES: u64 = 64;

/// What the other process has many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum What {
    /// Ports that listen.
    Ports,
    /// Connections that clients of this process hold.
    Connections,
}

/// Bytes gained by `count` of them.
pub(crate) fn run(what: What, count: u64) -> anyhow::Result<f64> {
    match what {
        What::Ports => ports(count),
        What::Connections => connections(count),
    }
}

fn ports(count: u64) -> anyhow::Result<f64> {
    let recorder = observing::nowhere();
    let mut observer = observing::ebpf(&recorder, std::process::id(), true)?;
    // A first worker, so that what the first event takes is no part of it.
    drop(Worker::spawn(&["ports", "1"])?);
    observer.fence()?;
    let before = memory::resident()?;
    let holder = Worker::spawn(&["ports", &count.to_string()])?;
    observer.fence()?;
    let after = memory::resident()?;
    drop(holder);
    observer.stop()?;
    Ok(after - before)
}

fn connections(count: u64) -> anyhow::Result<f64> {
    let recorder = observing::nowhere();
    let mut observer = observing::ebpf(&recorder, std::process::id(), true)?;
    let _echo = Worker::spawn(&["echo", "1"])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let context = ClientContext::new(&recorder, "held", std::net::SocketAddr::from(place(0)).into());
    observer.fence()?;
    let before = memory::resident()?;
    let after = runtime.block_on(async {
        let mut held = Vec::new();
        for index in 0..count {
            let mut one = hold::idle(&context, 1, index, BYTES);
            anyhow::ensure!(one.ready().await, "connection {index} ended before it was held");
            held.push(one);
        }
        observer.fence()?;
        memory::resident()
    })?;
    observer.stop()?;
    Ok(after - before)
}
