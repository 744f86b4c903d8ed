//! The server's role: a WebSocket port for the clients, tunnel ports that lead to the active client, backends for all of them.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_tungstenite::accept_async_with_config;
use tracing::{info, warn};

use crate::{
    backend,
    cli::ServerConfig,
    failover::Failover,
    fault::Fault,
    frame::Frame,
    link::{End, Event, Link, websocket_config},
    listener::{Accepted, Port, listen},
    resources::{Resources, refuse},
    schedule::{Sharing, server_listeners},
    stream::swallow,
    tamper::{Tamper, Tampering},
};

/// Time that a client has for the WebSocket handshake and its hello.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Serves until the process ends.
///
/// # Errors
/// When a port cannot be opened; the error names it.
pub(crate) async fn run(config: ServerConfig) -> anyhow::Result<()> {
    let faults = config.common.faults();
    let failover = Failover::new(config.common.reconnect_timeout_secs, faults);
    let websocket = listen(config.websocket, Sharing::Alone).with_context(|| {
        format!("cannot listen on {} for clients: free that port or choose another", config.websocket)
    })?;
    info!("listening on {} for clients", config.websocket);
    if faults.has(Fault::NeverListens) {
        warn!("fault never-listens: the tunnel ports stay closed");
    } else {
        let (tampering, resources) = (Tampering::new(faults), Resources::new(faults));
        for (index, tunnel) in config.common.listen.iter().enumerate() {
            let open = |sharing: &Sharing| {
                let (routes, tampering, resources) = (failover.clone(), tampering.clone(), resources.clone());
                Port::open(tunnel, *sharing, move |accepted| {
                    tokio::spawn(serve(accepted, routes.route(), tampering.stream(), resources.clone()));
                })
            };
            let listeners = server_listeners(index, faults).iter().map(open).collect::<anyhow::Result<_>>()?;
            failover.add_port(listeners);
        }
    }

    let config = Arc::new(config);
    loop {
        match websocket.accept().await {
            Ok((tcp, peer)) => {
                let (config, failover) = (config.clone(), failover.clone());
                tokio::spawn(async move {
                    if let Err(error) = client(tcp, &config, &failover).await {
                        warn!("websocket from {peer}: {error:#}");
                    }
                });
            }
            Err(error) => {
                warn!("cannot accept on {}: {error}", config.websocket);
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Carries one connection through a port of the server.
async fn serve(accepted: Accepted, route: Option<Link>, tamper: Tamper, resources: Resources) {
    let tunnel = accepted.tunnel.clone();
    let (tcp, over) = accepted.into_parts();
    let Some(share) = resources.admit(&tcp) else { return refuse(tcp) };
    let stream = match route {
        Some(link) => link.open(&tunnel).await,
        None => None,
    };
    match stream {
        Some(stream) => stream.bridge(tcp, tamper, over).await,
        None => swallow(tcp, over).await,
    }
    share.give_back().await;
}

/// Serves one client from its handshake to its end.
async fn client(tcp: TcpStream, config: &Arc<ServerConfig>, failover: &Failover) -> anyhow::Result<()> {
    tcp.set_nodelay(true)?;
    let greeting = async {
        let websocket = accept_async_with_config(tcp, Some(websocket_config()))
            .await
            .map_err(|error| anyhow!("handshake failed: {error}"))?;
        let (link, mut reader) = Link::start(websocket, End::Server);
        match reader.frame().await? {
            Some(Frame::Hello { client }) => Ok((client, link, reader)),
            Some(frame) => bail!("expected a hello, got {frame:?}"),
            None => bail!("closed before its hello"),
        }
    };
    let (client, link, mut reader) = timeout(HANDSHAKE, greeting).await.context("no hello in time")??;
    if !failover.add_client(client, link.clone()) {
        bail!("client {client} is connected already: give each client its own --id");
    }
    info!("client {client} connected");
    link.send(Frame::Welcome).await;
    let result = reader
        .run(|event| match event {
            Event::Opened(stream, tunnel) => {
                let address = config.common.backend(&tunnel);
                tokio::spawn(backend::serve(stream, tunnel, address));
            }
            Event::FirstData(stream) => failover.trigger(client, stream),
            Event::Role(_) => {}
        })
        .await;
    drop(reader);
    failover.remove_client(client);
    info!("client {client} disconnected");
    result
}
