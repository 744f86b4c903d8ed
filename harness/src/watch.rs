//! What a watcher tells as it happens: what a record means given those before it, with ages; as lines, and as a summary.

mod filter;
mod life;
mod line;
mod port;
mod summary;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use filter::{AddressFilter, Filter, StateFilter};
pub use life::{Lives, Meaning, Sighting};
pub use line::{Clock, TimeStyle, line};
pub use port::{Age, Port};
pub use summary::summary;

/// A length of time for people: `123 us`, `12.3 ms`, `2.5 s`, `3 min 5 s`, `2 h 5 min`.
pub fn human(time: Duration) -> String {
    let seconds = time.as_secs();
    match time.as_micros() {
        us @ 0..1_000 => format!("{us} us"),
        us @ 1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        us @ 1_000_000..120_000_000 => format!("{:.1} s", us as f64 / 1e6),
        _ if seconds < 7200 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
