//! Backends are servers of ours that the system under test connects to; each records the connections that reach it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::history::Recorder;

mod echo;
mod relay;

pub use echo::EchoBackend;
pub use relay::Relay;

/// Why a backend could not be started.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// Another socket has its port.
    #[error(
        "backend {name} cannot listen on {endpoint}: the port is in use; see who has it with `ss -tanp 'sport = :{}'` and \
         end that program, or choose another port in the profile",
        endpoint.port()
    )]
    InUse {
        /// Its name.
        name: String,
        /// Where it was to listen.
        endpoint: Endpoint,
    },
    /// No interface has its address.
    #[error(
        "backend {name} cannot listen on {endpoint}: no interface of this machine has that address; choose another one in \
         the profile, or add it (`ip address add`)"
    )]
    NoSuchAddress {
        /// Its name.
        name: String,
        /// Where it was to listen.
        endpoint: Endpoint,
    },
    /// Another error of the operating system.
    #[error("backend {name} cannot listen on {endpoint}: {source}")]
    Io {
        /// Its name.
        name: String,
        /// Where it was to listen.
        endpoint: Endpoint,
        /// Why not.
        source: std::io::Error,
    },
}

/// The backends of a suite, by name. Dropped, they end.
#[derive(Default)]
pub struct Backends(BTreeMap<String, EchoBackend>);

impl Backends {
    /// Starts an echo backend for each name; when one cannot start, none is left running.
    pub async fn start(
        recorder: &Recorder,
        backends: impl IntoIterator<Item = (String, Endpoint)>,
    ) -> Result<Self, BackendError> {
        let mut started = Self::default();
        for (name, endpoint) in backends {
            match EchoBackend::start(recorder, &name, endpoint) {
                Ok(backend) => {
                    started.0.insert(name, backend);
                }
                Err(error) => {
                    started.stop().await;
                    return Err(error);
                }
            }
        }
        Ok(started)
    }

    /// The one of this name.
    pub fn get(&self, name: &str) -> Option<&EchoBackend> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &EchoBackend)> {
        self.0.iter().map(|(name, backend)| (name.as_str(), backend))
    }

    /// Connections that are open now, at all of them.
    pub fn active(&self) -> usize {
        self.0.values().map(EchoBackend::active).sum()
    }

    /// [Settles](EchoBackend::settle) all of them, within one deadline; returns how many connections were still open.
    pub async fn settle(&self, deadline: Duration) -> usize {
        let end = tokio::time::Instant::now() + deadline;
        let mut open = 0;
        for backend in self.0.values() {
            open += backend.settle(end.saturating_duration_since(tokio::time::Instant::now())).await;
        }
        open
    }

    /// [Stops](EchoBackend::stop) all of them.
    pub async fn stop(self) {
        for (_, backend) in self.0 {
            backend.stop().await;
        }
    }
}
