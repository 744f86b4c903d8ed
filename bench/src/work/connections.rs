//! Connections one after the other, both ends in this process.

use std::net::TcpListener;

use super::listen::{Storm, measured};
use super::{calls, place};

/// Connects, accepts and closes `count` times.
pub(crate) fn run(count: u64) -> anyhow::Result<Storm> {
    let listener = TcpListener::bind(place(0))?;
    measured(count, || (0..count).try_for_each(|_| calls::connect(&listener)).map(|()| 0))
}
