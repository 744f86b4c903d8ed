//! The echo servers that the specification calls the test container.

use portwitness::endpoint::Endpoint;

use super::config::PortConfig;

/// Name and endpoint of all six.
pub(crate) fn all(ports: &PortConfig) -> Vec<(String, Endpoint)> {
    ports.backends().map(|port| (port.name.clone(), port.endpoint)).collect()
}
