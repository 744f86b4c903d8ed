//! A sentinel of sinsp's: the close of a descriptor that nobody has.

use std::io;

use super::format::SENTINELS;

/// Closes the descriptor of this fence. The driver has a ring a CPU, each in order.
pub(super) fn make(number: u64) -> io::Result<()> {
    // SAFETY: nobody has a descriptor of this number, so nothing is closed.
    let result = unsafe { libc::close((SENTINELS + number) as libc::c_int) };
    if result == 0 {
        return Err(io::Error::other("somebody had a descriptor of the sentinels' numbers"));
    }
    Ok(())
}
