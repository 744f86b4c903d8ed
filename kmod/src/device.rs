//! What the loaded module itself says of its interface, asked through `/dev/scap0`.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::ioctl::{Getter, Opcode, ioctl};

use crate::version::{Version, Versions};

/// `PPM_IOCTL_GET_API_VERSION` and `PPM_IOCTL_GET_SCHEMA_VERSION`: `_IO('s', n)` (`driver/ppm_events_public.h`, since API 1.0).
const API: Opcode = 0x7300 | 24;
const SCHEMA: Opcode = 0x7300 | 25;

/// Asks the module. Opening a device makes this thread a reader for that time, at most five may be.
pub(crate) fn versions(device: &Path) -> io::Result<Versions> {
    let device = File::open(device)?;
    // SAFETY: both take a pointer to a u64, which they write, and nothing else (`ppm_ioctl` in `driver/main.c`); `Getter` passes
    // just that.
    let (api, schema) =
        unsafe { (ioctl(&device, Getter::<API, u64>::new())?, ioctl(&device, Getter::<SCHEMA, u64>::new())?) };
    Ok(Versions { api: Version::unpack(api), schema: Version::unpack(schema) })
}
