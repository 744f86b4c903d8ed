//! A client's role: one WebSocket to the server, kept up with retries, and this side's tunnels through it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, connect_async_with_config};
use tracing::{debug, info};

use crate::{
    backend,
    cli::ClientConfig,
    frame::{Frame, Role},
    link::{End, Event, Link, Reader, websocket_config},
    listener::{Accepted, Port},
    schedule::{self, Sharing},
    stream::end,
    tamper::{Tamper, Tampering},
};

/// Pause between two attempts to reach the server.
const RETRY: Duration = Duration::from_millis(100);
/// Time that the server has for the WebSocket handshake and its welcome.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// The link to the server, while there is one.
type Uplink = Arc<Mutex<Option<Link>>>;

/// Serves until the process ends. The ports open once the server has welcomed this client, and stay when the server goes away.
///
/// # Errors
/// When a port cannot be opened; the error names it.
pub(crate) async fn run(config: ClientConfig) -> anyhow::Result<()> {
    let uplink = Uplink::default();
    let mut ports = None;
    let mut was = None;
    loop {
        let (link, mut reader) = connect(&config).await;
        info!("client {} connected to {}", config.id, config.server);
        set(&uplink, Some(link));
        let ports = match &mut ports {
            Some(ports) => &*ports,
            none => &*none.insert(open_ports(&config, &uplink)?),
        };
        let result = reader
            .run(|event| match event {
                Event::Opened(stream, tunnel) => {
                    let address = config.common.backend(&tunnel);
                    tokio::spawn(backend::serve(stream, tunnel, address));
                }
                Event::Role(role) => play(role, was.replace(role), ports, &config),
                Event::FirstData(_) => {}
            })
            .await;
        set(&uplink, None);
        match result {
            Ok(()) => info!("the server closed the connection, connecting again"),
            Err(error) => info!("lost the server, connecting again: {error:#}"),
        }
    }
}

/// Reaches the server, however long it takes.
async fn connect(config: &ClientConfig) -> (Link, Reader<MaybeTlsStream<TcpStream>>) {
    let mut attempts = 0_u32;
    loop {
        let error = match timeout(HANDSHAKE, greet(config)).await {
            Ok(Ok(connected)) => return connected,
            Ok(Err(error)) => error,
            Err(_) => anyhow!("no welcome in time"),
        };
        if attempts == 0 {
            info!("waiting for the server at {}: {error:#}", config.server);
        } else {
            debug!("attempt {attempts} to reach {}: {error:#}", config.server);
        }
        attempts = attempts.saturating_add(1);
        sleep(RETRY).await;
    }
}

async fn greet(config: &ClientConfig) -> anyhow::Result<(Link, Reader<MaybeTlsStream<TcpStream>>)> {
    // True: without Nagle's delay.
    let (websocket, _) = connect_async_with_config(&config.server, Some(websocket_config()), true)
        .await
        .map_err(|error| anyhow!("{error}"))?;
    let (link, mut reader) = Link::start(websocket, End::Client);
    link.send(Frame::Hello { client: config.id }).await;
    match reader.frame().await.context("no welcome")? {
        Some(Frame::Welcome) => Ok((link, reader)),
        Some(frame) => bail!("expected a welcome, got {frame:?}"),
        None => bail!("the server refused client {}", config.id),
    }
}

fn open_ports(config: &ClientConfig, uplink: &Uplink) -> anyhow::Result<Vec<Port>> {
    let tampering = Tampering::new(config.common.faults());
    let open = |tunnel| {
        let (uplink, tampering) = (uplink.clone(), tampering.clone());
        Port::open(tunnel, Sharing::Alone, move |accepted| {
            let link = uplink.lock().unwrap_or_else(PoisonError::into_inner).clone();
            tokio::spawn(serve(accepted, link, tampering.stream()));
        })
    };
    config.common.listen.iter().map(open).collect()
}

/// Carries one connection through a port of this client; without a server the connection ends.
async fn serve(accepted: Accepted, link: Option<Link>, tamper: Tamper) {
    let tunnel = accepted.tunnel.clone();
    let (tcp, over) = accepted.into_parts();
    let stream = match link {
        Some(link) => link.open(&tunnel).await,
        None => None,
    };
    match stream {
        Some(stream) => stream.bridge(tcp, tamper, over).await,
        None => end(tcp).await,
    }
}

/// Does with the ports what the new role asks for; `was` is the one before, if any.
fn play(role: Role, was: Option<Role>, ports: &[Port], config: &ClientConfig) {
    info!("client {} is {}", config.id, if role == Role::Active { "active" } else { "standby" });
    let mut faults = config.common.faults();
    if was != Some(Role::Active) {
        faults = faults.at_first_activation();
    }
    for (index, port) in ports.iter().enumerate() {
        match role {
            Role::Active => port.follow(schedule::active_port(index, faults)),
            Role::Standby => port.fail_over(schedule::standby_port(config.common.reconnect_timeout_secs, faults)),
        }
    }
}

fn set(uplink: &Uplink, link: Option<Link>) {
    *uplink.lock().unwrap_or_else(PoisonError::into_inner) = link;
}
