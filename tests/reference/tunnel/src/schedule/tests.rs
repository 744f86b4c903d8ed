//! A correct port closes once for the timeout; each fault changes the ports of its own.

#![allow(clippy::unwrap_used)]
use clap::ValueEnum as _;

use super::*;

const TIMEOUT: Duration = Duration::from_millis(2500);

fn with(fault: Fault) -> Faults {
    Faults::new(Some(fault))
}

fn correct() -> Vec<Step> {
    vec![Step::Close, Step::Wait(TIMEOUT), Step::Open(Place::Home)]
}

#[test]
fn correct_ports_close_once_for_the_timeout() {
    for index in 0..2 {
        assert_eq!(server_port(index, TIMEOUT, Faults::default()), correct());
        assert_eq!(active_port(index, Faults::default()), []);
    }
    assert_eq!(standby_port(TIMEOUT, Faults::default()), correct());
}

#[test]
fn early_reopening_keeps_half_a_second() {
    let early = with(Fault::ReopensEarly);
    assert_eq!(standby_port(TIMEOUT, early)[1], Step::Wait(Duration::from_secs(1)));
    assert_eq!(server_port(0, Duration::from_secs(1), early)[1], Step::Wait(Duration::from_millis(500)));
}

#[test]
fn each_fault_touches_its_own_ports() {
    for fault in Fault::value_variants() {
        let faults = with(*fault);
        let touched = [
            server_port(0, TIMEOUT, faults) != correct(),
            server_port(1, TIMEOUT, faults) != correct(),
            standby_port(TIMEOUT, faults) != correct(),
            !active_port(0, faults).is_empty(),
            !active_port(1, faults).is_empty(),
        ];
        let expected = match fault {
            Fault::ReopensEarly | Fault::ReopensLate => [true, true, true, false, false],
            Fault::NeverCloses => [true, true, false, false, false],
            Fault::Flaps | Fault::ReopensElsewhere | Fault::ReopensOtherAddress => [true, false, false, false, false],
            Fault::NeverClosesOne | Fault::NoReopen => [false, true, false, false, false],
            Fault::MovesActive => [false, false, false, false, true],
            _ => [false; 5],
        };
        assert_eq!(touched, expected, "{fault:?}");
        let shared = matches!(fault, Fault::SharedByChild | Fault::ReuseportStays);
        assert_eq!(server_listeners(0, faults) != [Sharing::Alone], shared, "{fault:?}");
        assert_eq!(server_listeners(1, faults), [Sharing::Alone], "{fault:?}");
    }
}

#[test]
fn the_first_activation_does_without_what_would_leave_a_port_missing() {
    for fault in
        [Fault::NoReopen, Fault::ReopensLate, Fault::ReopensElsewhere, Fault::ReopensOtherAddress, Fault::Flaps]
    {
        let faults = with(fault).at_first_activation();
        assert_eq!([0, 1].map(|index| server_port(index, TIMEOUT, faults)), [correct(), correct()]);
    }
    assert!(with(Fault::NeverClosesOne).at_first_activation().has(Fault::NeverClosesOne));
}

#[test]
fn other_places_are_near() {
    let home: SocketAddr = "127.0.0.11:38001".parse().unwrap();
    let places = [Place::Home, Place::OtherPort, Place::OtherAddress].map(|place| place.of(home).to_string());
    assert_eq!(places, ["127.0.0.11:38001", "127.0.0.11:39001", "127.0.0.139:38001"]);
    assert_eq!(Place::OtherAddress.of("[::1]:5".parse().unwrap()).to_string(), "127.0.0.139:5");
}
