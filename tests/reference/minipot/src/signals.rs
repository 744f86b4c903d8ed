//! SIGINT and SIGTERM, as something to read from.

use std::{io::Read as _, os::unix::net::UnixStream};

use anyhow::Context as _;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    low_level::pipe::register,
};

use crate::fault::{Fault, Faults};

/// A stream that becomes readable when the process is asked to stop; the handlers are in place when this returns.
///
/// # Errors
/// When the kernel refuses a handler or a descriptor.
pub(crate) fn stop_requested(faults: Faults) -> anyhow::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair().context("cannot make a pair of sockets")?;
    register(SIGINT, writer.try_clone()?).context("cannot handle SIGINT")?;
    if faults.has(Fault::IgnoresStop) {
        let (_ignored, nowhere) = UnixStream::pair().context("cannot make a pair of sockets")?;
        register(SIGTERM, nowhere).context("cannot handle SIGTERM")?;
    } else {
        register(SIGTERM, writer).context("cannot handle SIGTERM")?;
    }
    Ok(reader)
}

/// Waits until the process is asked to stop.
///
/// # Errors
/// When the stream fails.
pub(crate) fn wait(mut stop: &UnixStream) -> anyhow::Result<()> {
    stop.read_exact(&mut [0]).context("cannot wait for a signal")
}
