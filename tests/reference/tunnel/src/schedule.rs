//! What a port does at failover, as a list of steps; the port faults are other lists.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use crate::fault::{Fault, Faults};

/// One step of a port's failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Leave LISTEN.
    Close,
    /// Stay as it is for this long.
    Wait(Duration),
    /// Listen again.
    Open(Place),
}

/// Where a port listens again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At its own address.
    Home,
    /// At its own address, with 1000 added to its number.
    OtherPort,
    /// At another loopback address: the last byte of an IPv4 one has its highest bit flipped, so 127.0.0.11 becomes 127.0.0.139.
    OtherAddress,
}

impl Place {
    /// The address of this place, for a port whose own is `home`.
    pub(crate) fn of(self, home: SocketAddr) -> SocketAddr {
        match (self, home.ip()) {
            (Self::Home, _) => home,
            (Self::OtherPort, ip) => (ip, home.port().wrapping_add(1000)).into(),
            (Self::OtherAddress, IpAddr::V4(ip)) if ip.is_loopback() => {
                let [a, b, c, d] = ip.octets();
                (Ipv4Addr::new(a, b, c, d ^ 0x80), home.port()).into()
            }
            (Self::OtherAddress, _) => (Ipv4Addr::new(127, 0, 0, 139), home.port()).into(),
        }
    }
}

/// How a port holds its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Alone.
    Alone,
    /// Together with a child process, which keeps it when the port closes.
    WithChild,
    /// Alone, beside other listeners on the same address (SO_REUSEPORT).
    ReusePort,
}

/// Steps of the server's port number `index`, counted from 0.
pub(crate) fn server_port(index: usize, timeout: Duration, faults: Faults) -> Vec<Step> {
    let pause = faults.reopen_delay(timeout);
    match (faults.on(), index) {
        (Some(Fault::NeverCloses), _) | (Some(Fault::NeverClosesOne), 1) => Vec::new(),
        (Some(Fault::NoReopen), 1) => vec![Step::Close],
        (Some(Fault::ReopensElsewhere), 0) => close_for(pause, Place::OtherPort),
        (Some(Fault::ReopensOtherAddress), 0) => close_for(pause, Place::OtherAddress),
        (Some(Fault::Flaps), 0) => {
            let mut steps = close_for(pause, Place::Home);
            steps.push(Step::Wait(Duration::from_millis(500)));
            steps.extend(close_for(Duration::from_millis(400), Place::Home));
            steps
        }
        _ => close_for(pause, Place::Home),
    }
}

/// How the server's port number `index`, counted from 0, holds its listeners: one each.
pub(crate) fn server_listeners(index: usize, faults: Faults) -> &'static [Sharing] {
    match (faults.on(), index) {
        (Some(Fault::SharedByChild), 0) => &[Sharing::WithChild],
        (Some(Fault::ReuseportStays), 0) => &[Sharing::ReusePort, Sharing::ReusePort],
        _ => &[Sharing::Alone],
    }
}

/// Steps of each port of a client that is standby now.
pub(crate) fn standby_port(timeout: Duration, faults: Faults) -> Vec<Step> {
    close_for(faults.reopen_delay(timeout), Place::Home)
}

/// Steps of port number `index`, counted from 0, of the client that is active now: none, unless a fault says otherwise.
pub(crate) fn active_port(index: usize, faults: Faults) -> Vec<Step> {
    if faults.has(Fault::MovesActive) && index == 1 {
        close_for(Duration::from_millis(300), Place::Home)
    } else {
        Vec::new()
    }
}

fn close_for(pause: Duration, place: Place) -> Vec<Step> {
    vec![Step::Close, Step::Wait(pause), Step::Open(place)]
}

#[cfg(test)]
mod tests;
