//! Faults of routing, and of the connection that triggers a failover.

use std::time::Duration;

use crate::{
    TIMEOUT,
    system::{SOON, System, connect, echo, ended, is_open, wait_closed},
};

#[test]
fn wrong_backend() {
    let system = System::start(115, TIMEOUT, Some("wrong-backend"));
    let _trigger = system.settle_on(1);
    assert_eq!(echo(&mut connect(system.server_port(1)), b"whose?"), b"whose?");
    assert_eq!((system.reached(1), system.reached(2)), (0, 1));
}

#[test]
fn drops_trigger() {
    let system = System::start(116, TIMEOUT, Some("drops-trigger"));
    let mut bystander = connect(system.client_port(1, 2));
    let mut trigger = system.trigger(1);
    assert!(ended(&mut trigger, SOON));
    wait_closed(system.server_port(1));
    assert_eq!(echo(&mut bystander, b"and I?"), b"and I?");
}

#[test]
fn ignores_trigger() {
    let system = System::start(118, TIMEOUT, Some("ignores-trigger"));
    let mut first = system.settle_on(1);
    let mut ignored = system.trigger(2);
    assert!(!ended(&mut first, Duration::from_millis(500)));
    assert!(is_open(system.server_port(1)) && is_open(system.client_port(1, 1)));
    assert_eq!(echo(&mut ignored, b"served"), b"served");
    assert_eq!(echo(&mut connect(system.server_port(1)), b"old"), b"old");
    assert_eq!((system.reached(1), system.reached(2)), (1, 0));
}
