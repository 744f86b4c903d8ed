//! A monitor: what several threads look at and change, and wait for.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A value under a lock, with a condition that is signalled at every change.
#[derive(Debug, Default)]
pub(super) struct Monitor<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Monitor<T> {
    /// Changes the value, and wakes who waits.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Looks at the value.
    pub(super) fn look<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock())
    }

    /// Waits until the value is `ready`, for `time` at the most; says whether it came to that.
    pub(super) fn wait(&self, time: Duration, ready: impl Fn(&T) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), time, |value| !ready(value));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        // Each change is made in one step, so a panic elsewhere leaves nothing half-done.
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;

    #[test]
    fn who_waits_is_woken_by_the_change_that_it_waits_for() {
        let monitor = Arc::new(Monitor::<u32>::default());
        let changes = Arc::clone(&monitor);
        let changer = std::thread::spawn(move || (0..3).for_each(|_| changes.change(|value| *value += 1)));
        assert!(monitor.wait(Duration::from_secs(60), |value| *value == 3));
        changer.join().unwrap();
        assert!(!monitor.wait(Duration::from_millis(1), |value| *value == 4));
        assert_eq!(monitor.look(|value| *value), 3);
    }
}
