//! One line a thing, on stderr, with the time it took.

use std::time::Instant;

/// Tells people how set-up goes.
#[derive(Debug)]
pub(super) struct Progress {
    all: bool,
    start: Instant,
}

impl Progress {
    /// Tells what is in place, too.
    pub(super) fn all() -> Self {
        Self { all: true, start: Instant::now() }
    }

    /// Tells only what is done and what cannot be.
    pub(super) fn news() -> Self {
        Self { all: false, start: Instant::now() }
    }

    /// Something is in place.
    pub(super) fn ok(&self, what: &str) {
        if self.all {
            line("ok", what);
        }
    }

    /// Something is being installed; the result tells how long that took. `what` says why as well.
    pub(super) fn installing<T>(&self, what: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        line("installing", what);
        let start = Instant::now();
        let result = work();
        line(
            if result.is_ok() { "installed" } else { "failed" },
            &format!("that, after {:.1} s", start.elapsed().as_secs_f64()),
        );
        result
    }

    /// Something is lacking that one can do without.
    pub(super) fn note(&self, what: &str) {
        line("note", what);
    }

    /// All is in place.
    pub(super) fn end(&self) {
        self.ok(&format!("all in place, {:.2} s", self.start.elapsed().as_secs_f64()));
    }
}

fn line(state: &str, what: &str) {
    eprintln!("setup: {state:<10} {what}");
}
