//! The faults: named misbehaviours, each injected at one point of the program, that a case of the suite must catch.
//!
//! A fault acts in the process that it is given to, when that process has the part it touches; elsewhere it does nothing. So the
//! same `--fault` can be passed to all processes of a system. Port faults live in [`crate::schedule`], data faults in
//! [`crate::tamper`], routing and failover faults in [`crate::failover`].

use std::time::Duration;

use clap::ValueEnum;

/// A named misbehaviour. 'tun1' and 'tun2' are the first and the second `--listen` of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// No fault: what a profile passes when it wants the correct tunnel
    None,
    /// Server: all ports close 1.6 s after the trigger, the standby's too
    ClosesLate,
    /// Server and clients: ports reopen 1.5 s too early, but not before 0.5 s after their close
    ReopensEarly,
    /// Server and clients: one bit of byte 100000 of each stream flips on the way from port to backend
    CorruptsOneByte,
    /// Server: new streams of its ports go to the standby client when there is one
    WrongBackend,
    /// Server: the connection that triggered the failover ends together with the others
    DropsTrigger,
    /// Server: its ports stay in LISTEN at failover; everything else happens
    NeverCloses,
    /// Server: once a client is active, data on another client's port changes nothing
    IgnoresTrigger,
    /// Server: tun2's port never reopens after a failover from one client to the other
    NoReopen,
    /// Server: tun1's port closes a second time, for 200 ms, 300 ms after its reopening
    Flaps,
    /// Client: when it becomes active, tun2's port closes too, for 300 ms
    MovesActive,
    /// Any process: SIGTERM is ignored
    IgnoresStop,
    /// Any process: it exits with code 3 and a message before any port is open
    DiesAtStart,
    /// Server: its tunnel ports never open
    NeverListens,
    /// Server and clients: each stream carries 50000 bytes from port to backend, then nothing more
    StallsStream,
}

/// The faults switched on in this process: none or one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults(Option<Fault>);

impl Faults {
    /// Switches `fault` on.
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Self(fault.filter(|fault| *fault != Fault::None))
    }

    /// The same, but for `fault`.
    pub(crate) fn without(self, fault: Fault) -> Self {
        Self(self.0.filter(|on| *on != fault))
    }

    /// Whether `fault` is switched on.
    pub(crate) fn has(self, fault: Fault) -> bool {
        self.0 == Some(fault)
    }

    /// Time from the trigger of a failover to the close of the ports.
    pub(crate) fn close_delay(self) -> Duration {
        // The tunnel that this one stands in for closes its ports 106 to 119 ms after the trigger.
        Duration::from_millis(if self.has(Fault::ClosesLate) { 1600 } else { 100 })
    }

    /// Time from a port's close to its reopening, when `timeout` is the one configured.
    pub(crate) fn reopen_delay(self, timeout: Duration) -> Duration {
        if self.has(Fault::ReopensEarly) {
            timeout.saturating_sub(Duration::from_millis(1500)).max(Duration::from_millis(500))
        } else {
            timeout
        }
    }
}
