//! The echo backend: sends back what comes, on every connection, and notes who reached it.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::BackendError;
use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::history::{BackendConnection, BackendEnd, Event, Recorder, Source};

/// Bytes that a connection holds at the most: what is read is sent back before more is read.
const BUFFER: usize = 256 * 1024;

/// First bytes of a connection that are recorded.
const HEAD: usize = 64;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// The pause after an accept that failed for want of descriptors or memory.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// A server that echoes. A client that does not read stops it from reading: nothing is buffered beyond 256 KiB.
pub struct EchoBackend {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl EchoBackend {
    /// Listens on `endpoint` (port 0: one that is free) and serves, on the runtime that this is called on.
    pub fn start(recorder: &Recorder, name: &str, endpoint: Endpoint) -> Result<Self, BackendError> {
        let named = |source: io::Error| {
            let name = name.to_owned();
            match source.kind() {
                io::ErrorKind::AddrInUse => BackendError::InUse { name, endpoint },
                io::ErrorKind::AddrNotAvailable => BackendError::NoSuchAddress { name, endpoint },
                _ => BackendError::Io { name, endpoint, source },
            }
        };
        let listener = listen(endpoint).map_err(named)?;
        let shared = Arc::new(Shared {
            recorder: recorder.clone(),
            name: name.to_owned(),
            listen: listener.local_addr().map_err(named)?.into(),
            open: Mutex::default(),
            count: watch::Sender::new(0),
        });
        let (stop, stopped) = watch::channel(false);
        debug!(backend = name, endpoint = %shared.listen, "listens");
        let task = tokio::spawn(serve(listener, shared.clone(), stopped));
        Ok(Self { shared, stop, task })
    }

    /// Where it listens.
    pub fn endpoint(&self) -> Endpoint {
        self.shared.listen
    }

    /// Connections that are open now.
    pub fn active(&self) -> usize {
        *self.shared.count.borrow()
    }

    /// Waits until no connection is open, for as long as `deadline`. One that is open then is recorded as
    /// [`BackendEnd::Open`], goes on, and is recorded once more when it ends, or at the next settling. Returns how many.
    pub async fn settle(&self, deadline: Duration) -> usize {
        let mut count = self.shared.count.subscribe();
        if timeout(deadline, count.wait_for(|count| *count == 0)).await.is_ok() {
            return 0;
        }
        let open: Vec<Arc<Open>> = self.shared.open().values().cloned().collect();
        open.iter().for_each(|connection| self.shared.record(connection, BackendEnd::Open));
        open.len()
    }

    /// Stops listening and ends its connections, each of which is recorded as [`BackendEnd::Open`].
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // A panic of the task has been reported where it happened.
        let _ = (&mut self.task).await;
    }
}

impl Drop for EchoBackend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Shared {
    recorder: Recorder,
    name: String,
    listen: Endpoint,
    open: Mutex<BTreeMap<u64, Arc<Open>>>,
    count: watch::Sender<usize>,
}

/// A connection that is open.
struct Open {
    peer: Endpoint,
    accepted: Timestamp,
    head: Mutex<Vec<u8>>,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Open>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, connection: &Open, end: BackendEnd) {
        let connection = BackendConnection {
            backend: self.name.clone(),
            listen: self.listen,
            peer: connection.peer,
            accepted: connection.accepted,
            head: hex::encode(&*connection.head.lock().unwrap_or_else(PoisonError::into_inner)),
            received: connection.received.load(Ordering::Relaxed),
            sent: connection.sent.load(Ordering::Relaxed),
            end,
        };
        debug!(backend = self.name, peer = %connection.peer, received = connection.received, ?end, "connection");
        self.recorder.record(Source::Backend, Event::Backend(connection));
    }
}

/// A connection's entry among those that are open; whatever ends it, its end is recorded.
struct Entry {
    shared: Arc<Shared>,
    number: u64,
    connection: Arc<Open>,
    end: BackendEnd,
}

impl Entry {
    fn new(shared: Arc<Shared>, number: u64, peer: Endpoint) -> Self {
        let connection = Arc::new(Open {
            peer,
            accepted: Timestamp::now(),
            head: Mutex::default(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        });
        shared.open().insert(number, connection.clone());
        shared.count.send_modify(|count| *count += 1);
        Self { shared, number, connection, end: BackendEnd::Open }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // Recorded before it is taken off: when a settling finds none open, all are in the history.
        self.shared.record(&self.connection, self.end);
        self.shared.open().remove(&self.number);
        self.shared.count.send_modify(|count| *count -= 1);
    }
}

fn listen(endpoint: Endpoint) -> io::Result<TcpListener> {
    let address = endpoint.socket_addr();
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        tokio::select! {
            () = told(&mut stopped) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    number += 1;
                    connections.spawn(echo(stream, Entry::new(shared.clone(), number, peer.into())));
                }
                Err(error) => {
                    warn!(backend = shared.name, %error, "accept failed");
                    sleep(ACCEPT_AGAIN).await;
                }
            },
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn told(stopped: &mut watch::Receiver<bool>) {
    // An error means that the backend was dropped: this task is being aborted.
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn echo(mut stream: TcpStream, mut entry: Entry) {
    // Without it small echoes wait for the peer's acknowledgement; that it could not be set shows at the first read.
    let _ = stream.set_nodelay(true);
    entry.end = match echo_all(&mut stream, &entry.connection).await {
        Ok(()) => BackendEnd::Eof,
        Err(_) => BackendEnd::Reset,
    };
}

async fn echo_all(stream: &mut TcpStream, connection: &Open) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let before = connection.received.fetch_add(count as u64, Ordering::Relaxed);
        if before < HEAD as u64 {
            let mut head = connection.head.lock().unwrap_or_else(PoisonError::into_inner);
            let room = HEAD - head.len();
            head.extend_from_slice(&buffer[..count.min(room)]);
        }
        let mut sent = 0;
        while sent < count {
            let accepted = stream.write(&buffer[sent..count]).await?;
            if accepted == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            sent += accepted;
            connection.sent.fetch_add(accepted as u64, Ordering::Relaxed);
        }
        if count == buffer.len() && count < BUFFER {
            // It sends more than fits at a time: idle and small connections stay small.
            buffer.resize(BUFFER, 0);
        }
    }
}

#[cfg(test)]
mod tests;
