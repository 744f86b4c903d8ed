//! What a port does at failover, as a list of steps; the port faults are other lists.

use std::time::Duration;

use crate::fault::{Fault, Faults};

/// One step of a port's failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Leave LISTEN.
    Close,
    /// Stay as it is for this long.
    Wait(Duration),
    /// Listen again.
    Open,
}

/// Steps of the server's port number `index`, counted from 0.
pub(crate) fn server_port(index: usize, timeout: Duration, faults: Faults) -> Vec<Step> {
    let mut steps = close_for(faults.reopen_delay(timeout));
    if faults.has(Fault::NeverCloses) {
        steps.clear();
    }
    if faults.has(Fault::NoReopen) && index == 1 {
        steps.truncate(1);
    }
    if faults.has(Fault::Flaps) && index == 0 {
        steps.push(Step::Wait(Duration::from_millis(300)));
        steps.extend(close_for(Duration::from_millis(200)));
    }
    steps
}

/// Steps of each port of a client that is standby now.
pub(crate) fn standby_port(timeout: Duration, faults: Faults) -> Vec<Step> {
    close_for(faults.reopen_delay(timeout))
}

/// Steps of port number `index`, counted from 0, of the client that is active now: none, unless a fault says otherwise.
pub(crate) fn active_port(index: usize, faults: Faults) -> Vec<Step> {
    if faults.has(Fault::MovesActive) && index == 1 { close_for(Duration::from_millis(300)) } else { Vec::new() }
}

fn close_for(pause: Duration) -> Vec<Step> {
    vec![Step::Close, Step::Wait(pause), Step::Open]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(2500);

    fn with(fault: Fault) -> Faults {
        Faults::new(Some(fault))
    }

    #[test]
    fn correct_ports_close_once_for_the_timeout() {
        let expected = vec![Step::Close, Step::Wait(TIMEOUT), Step::Open];
        for index in 0..2 {
            assert_eq!(server_port(index, TIMEOUT, Faults::default()), expected);
            assert_eq!(active_port(index, Faults::default()), []);
        }
        assert_eq!(standby_port(TIMEOUT, Faults::default()), expected);
    }

    #[test]
    fn early_reopening_keeps_half_a_second() {
        let early = with(Fault::ReopensEarly);
        assert_eq!(standby_port(TIMEOUT, early)[1], Step::Wait(Duration::from_secs(1)));
        assert_eq!(server_port(0, Duration::from_secs(1), early)[1], Step::Wait(Duration::from_millis(500)));
    }

    #[test]
    fn each_fault_touches_its_own_port() {
        assert_eq!(server_port(0, TIMEOUT, with(Fault::NoReopen)).len(), 3);
        assert_eq!(server_port(1, TIMEOUT, with(Fault::NoReopen)), [Step::Close]);
        assert_eq!(server_port(0, TIMEOUT, with(Fault::Flaps)).iter().filter(|step| **step == Step::Close).count(), 2);
        assert_eq!(server_port(1, TIMEOUT, with(Fault::Flaps)).len(), 3);
        assert_eq!(server_port(0, TIMEOUT, with(Fault::NeverCloses)), []);
        assert_eq!(active_port(0, with(Fault::MovesActive)), []);
        assert_eq!(active_port(1, with(Fault::MovesActive)).len(), 3);
    }
}
