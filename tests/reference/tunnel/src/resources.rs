//! What a connection to the server costs: nothing that lasts, and no other its place, unless a resource fault is on.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tracing::{debug, warn};

use crate::fault::{Fault, Faults};

/// Connections that [`Fault::RefusesUnderLoad`] lets be open at once.
const PLACES: usize = 5;
/// For how long a connection that has ended still counts: quick ones that are made at once are open at once then.
const PLACE_FREED_AFTER: Duration = Duration::from_millis(300);
/// Bytes that a connection leaves under [`Fault::LeaksMemory`].
const LEAK: usize = 4 << 20;

/// The connections that are open at the server's ports, and what those of the past have left.
#[derive(Clone, Debug)]
pub(crate) struct Resources {
    faults: Faults,
    places: Arc<Semaphore>,
    descriptors: Arc<Mutex<Vec<OwnedFd>>>,
}

/// One connection's part of the resources.
#[derive(Debug)]
pub(crate) struct Share {
    faults: Faults,
    place: Option<OwnedSemaphorePermit>,
}

impl Resources {
    /// Of a server without connections.
    pub(crate) fn new(faults: Faults) -> Self {
        Self { faults, places: Arc::new(Semaphore::new(PLACES)), descriptors: Arc::default() }
    }

    /// The share of a connection that was just accepted; None when there is none, and the connection has to go.
    pub(crate) fn admit(&self, tcp: &TcpStream) -> Option<Share> {
        let place = match self.faults.on() {
            Some(Fault::RefusesUnderLoad) => Some(self.places.clone().try_acquire_owned().ok()?),
            Some(Fault::LeaksConnections) => {
                self.keep(tcp).unwrap_or_else(|error| warn!("fault leaks-connections leaks no more: {error}"));
                None
            }
            _ => None,
        };
        Some(Share { faults: self.faults, place })
    }

    /// Duplicates the descriptor for good: closing the other one does not close the connection any more.
    fn keep(&self, tcp: &TcpStream) -> io::Result<()> {
        let descriptor = tcp.as_fd().try_clone_to_owned()?;
        self.descriptors.lock().unwrap_or_else(PoisonError::into_inner).push(descriptor);
        Ok(())
    }
}

impl Share {
    /// Gives the share back after the connection's end, as far as the fault allows it.
    pub(crate) async fn give_back(self) {
        if self.faults.has(Fault::LeaksMemory) {
            // Other than zero: pages that nobody wrote to are not resident. And what nobody looks at is not even allocated.
            std::mem::forget(std::hint::black_box(vec![0xff_u8; LEAK]));
        }
        if self.place.is_some() {
            sleep(PLACE_FREED_AFTER).await;
        }
    }
}

/// Resets a connection.
pub(crate) fn refuse(tcp: TcpStream) {
    // Without lingering, what closes a connection is a reset.
    if let Err(error) = tcp.set_zero_linger() {
        debug!("cannot reset a connection: {error}");
    }
}
