//! The faults: named misbehaviours, each injected at one point of the program, that a case of the suite must catch.
//!
//! A fault acts in the process that it is given to, when that process has the part it touches; elsewhere it does nothing. So the
//! same `--fault` can be passed to all processes of a system. Port faults live in [`crate::schedule`], data faults in
//! [`crate::tamper`], routing and failover faults in [`crate::failover`], what connections cost in [`crate::resources`].

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
    /// Server and clients: ports reopen 3 s too late
    ReopensLate,
    /// Server: tun1's port reopens on another port, its own + 1000
    ReopensElsewhere,
    /// Server: tun1's port reopens at another loopback address
    ReopensOtherAddress,
    /// Server: its ports stay in LISTEN at failover; everything else happens
    NeverCloses,
    /// Server: tun2's port stays in LISTEN at failover; everything else happens
    NeverClosesOne,
    /// Server: a child process holds tun1's listener, so closing it does not close its port
    SharedByChild,
    /// Server: a second listener on tun1's port (SO_REUSEPORT) stays at failover
    ReuseportStays,
    /// Server: tun2's port never reopens after a failover from one client to the other
    NoReopen,
    /// Server: tun1's port closes a second time, for 400 ms, 500 ms after its reopening
    Flaps,
    /// Client: when it becomes active, tun2's port closes too, for 300 ms
    MovesActive,
    /// Server: new streams of its ports go to the standby client when there is one
    WrongBackend,
    /// Server: the connection that triggered the failover ends together with the others
    DropsTrigger,
    /// Server: once a client is active, data on another client's port changes nothing
    IgnoresTrigger,
    /// Server and clients: one bit of byte 100000 of each stream flips on the way from port to backend
    CorruptsOneByte,
    /// Server and clients: bytes 100000 to 100999 of each stream are lost on the way from port to backend
    DropsChunk,
    /// Server and clients: bytes 100000 to 100999 of each stream come twice, one copy after the other
    DuplicatesChunk,
    /// Server and clients: bytes 100000 to 100999 of each stream come after the 1000 bytes that follow them
    ReordersChunks,
    /// Server and clients: each stream ends in order after 100000 bytes from port to backend
    Truncates,
    /// Server and clients: each stream carries 50000 bytes from port to backend, then nothing more
    StallsStream,
    /// Server and clients: each stream stops for 10 s after 50000 bytes from port to backend
    #[value(name = "stalls-10s")]
    Stalls10s,
    /// Server and clients: transfers and round trips take about ten times as long
    SlowsTenfold,
    /// Server: while 5 connections are open at its ports, further ones are reset
    RefusesUnderLoad,
    /// Server: the descriptor of a connection that has ended is never closed
    LeaksConnections,
    /// Server: each connection leaves 4 MiB behind
    LeaksMemory,
    /// Server: a failover from one client to the other ends it, and a parent process starts it again
    DiesAndRestarts,
    /// Any process: SIGTERM is ignored
    IgnoresStop,
    /// Any process: it exits with code 3 and a message before any port is open
    DiesAtStart,
    /// Server: its tunnel ports never open
    NeverListens,
}

impl Fault {
    /// Whether the first activation does without this fault. It is no failover, and a system that the fault would leave without a
    /// port could never be brought to where its cases begin, or would lose it when they have begun.
    fn waits_for_a_failover(self) -> bool {
        matches!(
            self,
            Self::ReopensLate
                | Self::ReopensElsewhere
                | Self::ReopensOtherAddress
                | Self::NoReopen
                | Self::Flaps
                | Self::DiesAndRestarts
        )
    }
}

/// The faults switched on in this process: none or one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults(Option<Fault>);

impl Faults {
    /// Switches `fault` on.
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Self(fault.filter(|fault| *fault != Fault::None))
    }

    /// Those that act when a client becomes active and none was, or when one is told to stand by that was not active.
    pub(crate) fn at_first_activation(self) -> Self {
        Self(self.0.filter(|fault| !fault.waits_for_a_failover()))
    }

    /// Whether `fault` is switched on.
    pub(crate) fn has(self, fault: Fault) -> bool {
        self.0 == Some(fault)
    }

    /// The one switched on.
    pub(crate) fn on(self) -> Option<Fault> {
        self.0
    }

    /// Time from the trigger of a failover to the close of the ports.
    pub(crate) fn close_delay(self) -> Duration {
        // The tunnel that this one stands in for closes its ports 106 to 119 ms after the trigger.
        Duration::from_millis(if self.has(Fault::ClosesLate) { 1600 } else { 100 })
    }

    /// Time from a port's close to its reopening, when `timeout` is the one configured.
    pub(crate) fn reopen_delay(self, timeout: Duration) -> Duration {
        match self.0 {
            Some(Fault::ReopensEarly) => {
                timeout.saturating_sub(Duration::from_millis(1500)).max(Duration::from_millis(500))
            }
            Some(Fault::ReopensLate) => timeout + Duration::from_secs(3),
            _ => timeout,
        }
    }
}
