//! One listener of a port: accepts connections, and closes and reopens as its schedule says.

use std::{collections::VecDeque, future::pending, io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};
use tracing::{info, warn};

use crate::{
    cli::Tunnel,
    keeper::Keeper,
    schedule::{Place, Sharing, Step},
};

/// Connections that the kernel may hold for us before we accept them.
const BACKLOG: u32 = 1024;
/// Pause before we try again what the system refused: a port that is taken, a descriptor that is missing.
const RETRY: Duration = Duration::from_millis(50);

/// A handle on a listener; its task ends with the last handle.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    orders: mpsc::UnboundedSender<Order>,
}

#[derive(Debug)]
struct Order {
    steps: Vec<Step>,
    end_connections: bool,
}

/// A connection that a port accepted, with the port's word on when it must end.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// The connection, without Nagle's delay.
    pub(crate) tcp: TcpStream,
    /// Name of the port's tunnel.
    pub(crate) tunnel: Arc<str>,
    failovers: watch::Receiver<u64>,
}

impl Accepted {
    /// Takes the connection apart: the socket, and a future that ends when the connection must.
    pub(crate) fn into_parts(self) -> (TcpStream, impl Future<Output = ()>) {
        let mut failovers = self.failovers;
        (self.tcp, async move {
            // An error means that the port itself is gone.
            let _ = failovers.changed().await;
        })
    }
}

impl Port {
    /// Opens the tunnel's port, and calls `on_accept` for each connection.
    ///
    /// # Errors
    /// When the port cannot be opened; the error names the address.
    pub(crate) fn open(
        tunnel: &Tunnel,
        sharing: Sharing,
        on_accept: impl Fn(Accepted) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let listener = listen(tunnel.address, sharing).with_context(|| {
            format!("cannot listen on {} for {}: free that port or choose another", tunnel.address, tunnel.name)
        })?;
        info!("listening on {} for {}", tunnel.address, tunnel.name);
        let keeper = match sharing {
            Sharing::WithChild => {
                Some(Keeper::start(&listener).context("cannot start a child process that holds the listener")?)
            }
            Sharing::Alone | Sharing::ReusePort => None,
        };
        let (orders, received) = mpsc::unbounded_channel();
        let task = PortTask {
            tunnel: tunnel.name.as_str().into(),
            address: tunnel.address,
            sharing,
            keeper,
            listener: Some(listener),
            steps: VecDeque::new(),
            wake: None,
            failovers: watch::Sender::new(0),
        };
        tokio::spawn(task.run(received, on_accept));
        Ok(Self { orders })
    }

    /// Follows `steps`, then ends every connection accepted so far. A port that is closed keeps the time of its reopening.
    pub(crate) fn fail_over(&self, steps: Vec<Step>) {
        let _ = self.orders.send(Order { steps, end_connections: true });
    }

    /// Follows `steps`, and leaves the connections alone.
    pub(crate) fn follow(&self, steps: Vec<Step>) {
        let _ = self.orders.send(Order { steps, end_connections: false });
    }
}

/// Opens a listening socket with SO_REUSEADDR: the port may be full of connections that have just ended.
pub(crate) fn listen(address: SocketAddr, sharing: Sharing) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(sharing == Sharing::ReusePort)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

struct PortTask {
    tunnel: Arc<str>,
    address: SocketAddr,
    sharing: Sharing,
    /// Who else holds the listener.
    keeper: Option<Keeper>,
    /// None while the port is closed: dropping a listener is what closes its port.
    listener: Option<TcpListener>,
    /// Steps to come after `wake`.
    steps: VecDeque<Step>,
    wake: Option<Instant>,
    /// Counts the failovers that ended this port's connections.
    failovers: watch::Sender<u64>,
}

impl PortTask {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>, on_accept: impl Fn(Accepted)) {
        loop {
            tokio::select! {
                accepted = accept(self.listener.as_ref()) => match accepted {
                    Ok(tcp) => on_accept(Accepted { tcp, tunnel: self.tunnel.clone(), failovers: self.failovers.subscribe() }),
                    Err(error) => {
                        warn!("cannot accept on {}: {error}", self.address);
                        sleep(RETRY).await;
                    }
                },
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
                () = until(self.wake) => self.advance(),
            }
        }
    }

    fn obey(&mut self, order: Order) {
        if self.listener.is_some() {
            self.steps = order.steps.into();
            self.advance();
        }
        if order.end_connections {
            self.failovers.send_modify(|count| *count += 1);
        }
    }

    /// Takes the steps that are due.
    fn advance(&mut self) {
        self.wake = None;
        while let Some(step) = self.steps.pop_front() {
            match step {
                Step::Close => {
                    self.listener = None;
                    info!("closed {} of {}", self.address, self.tunnel);
                }
                Step::Wait(pause) => {
                    self.wake = Some(Instant::now() + pause);
                    return;
                }
                Step::Open(place) => match self.open(place) {
                    Ok(listener) => {
                        self.listener = Some(listener);
                        info!("reopened {} of {}", place.of(self.address), self.tunnel);
                    }
                    Err(error) => {
                        warn!("cannot reopen {} of {}, trying on: {error}", place.of(self.address), self.tunnel);
                        self.steps.push_front(step);
                        self.wake = Some(Instant::now() + RETRY);
                        return;
                    }
                },
            }
        }
    }

    fn open(&self, place: Place) -> io::Result<TcpListener> {
        match &self.keeper {
            Some(keeper) => keeper.listener(),
            None => listen(place.of(self.address), self.sharing),
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    let Some(listener) = listener else { return pending().await };
    let (tcp, _) = listener.accept().await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

async fn until(wake: Option<Instant>) {
    match wake {
        Some(wake) => sleep_until(wake).await,
        None => pending().await,
    }
}
