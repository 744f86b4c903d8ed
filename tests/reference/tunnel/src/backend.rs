//! The far end of a tunnel: a stream that the other side opened, carried to its backend.

use std::{future::pending, net::SocketAddr, time::Duration};

use tokio::{net::TcpStream, time::timeout};
use tracing::{debug, warn};

use crate::{stream::Stream, tamper::Tampering};

/// Time that a backend has to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Connects to the backend at `address` and bridges the stream to it. Without a backend the stream ends, and its connection with it.
pub(crate) async fn serve(stream: Stream, tunnel: String, address: Option<SocketAddr>) {
    let Some(address) = address else {
        warn!("no --connect for tunnel {tunnel}: its connection is closed");
        return stream.close().await;
    };
    match timeout(CONNECT, TcpStream::connect(address)).await {
        Ok(Ok(tcp)) => {
            let _ = tcp.set_nodelay(true);
            // Data faults are of the way from port to backend, so they act at the port.
            stream.bridge(tcp, Tampering::default().stream(), pending()).await;
        }
        Ok(Err(error)) => {
            debug!("backend {address} of {tunnel}: {error}");
            stream.close().await;
        }
        Err(_) => {
            debug!("backend {address} of {tunnel} did not accept in time");
            stream.close().await;
        }
    }
}
