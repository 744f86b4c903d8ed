//! The command line: two roles, their addresses, the reconnect timeout and the fault.

use std::{net::SocketAddr, str::FromStr, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::fault::{Fault, Faults};

/// A TCP-over-WebSocket tunnel with active/standby failover, and fault switches.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The role that this process plays.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Accept clients on a WebSocket port, and route this side's tunnels to the active one
    Server(ServerConfig),
    /// Hold a WebSocket to the server, and carry this side's tunnels through it
    Client(ClientConfig),
    /// Hold the listener that is the standard input, and do nothing with it
    #[command(hide = true)]
    Hold {
        /// Process to die with
        #[arg(long)]
        parent: u32,
    },
}

impl Command {
    /// The fault asked for, if any.
    pub(crate) fn faults(&self) -> Faults {
        match self {
            Self::Server(config) => config.common.faults(),
            Self::Client(config) => config.common.faults(),
            Self::Hold { .. } => Faults::default(),
        }
    }

    /// Whether this process only starts the one that serves, and starts it again.
    pub(crate) fn wants_a_supervisor(&self) -> bool {
        match self {
            Self::Server(config) => {
                config.supervised_by.is_none() && config.common.faults().has(Fault::DiesAndRestarts)
            }
            _ => false,
        }
    }
}

/// What a server needs to know.
#[derive(Debug, Args)]
pub(crate) struct ServerConfig {
    /// Address that clients connect their WebSocket to
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) websocket: SocketAddr,
    /// Process that starts this one again
    #[arg(long, value_name = "PID", hide = true)]
    pub(crate) supervised_by: Option<u32>,
    #[command(flatten)]
    pub(crate) common: CommonConfig,
}

/// What a client needs to know.
#[derive(Debug, Args)]
pub(crate) struct ClientConfig {
    /// Number of this client; each client of a server has its own
    #[arg(long)]
    pub(crate) id: u32,
    /// URL of the server's WebSocket, for example ws://127.0.0.11:38080
    #[arg(long, value_name = "URL", value_parser = websocket_url)]
    pub(crate) server: String,
    #[command(flatten)]
    pub(crate) common: CommonConfig,
}

/// What both roles need to know.
#[derive(Debug, Args)]
pub(crate) struct CommonConfig {
    /// Tunnel that starts here: connections to this address go to the other side's --connect of the same name
    #[arg(long, value_name = "NAME=ADDRESS")]
    pub(crate) listen: Vec<Tunnel>,
    /// Tunnel that ends here: its connections go to the backend at this address
    #[arg(long, value_name = "NAME=ADDRESS")]
    pub(crate) connect: Vec<Tunnel>,
    /// Time from the close of a port at failover to its reopening
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = seconds)]
    pub(crate) reconnect_timeout_secs: Duration,
    /// Misbehave in this way
    #[arg(long, value_name = "NAME", value_enum)]
    fault: Option<Fault>,
}

impl CommonConfig {
    /// The fault asked for, if any.
    pub(crate) fn faults(&self) -> Faults {
        Faults::new(self.fault)
    }

    /// The backend of the tunnel called `name`, if it ends here.
    pub(crate) fn backend(&self, name: &str) -> Option<SocketAddr> {
        self.connect.iter().find(|tunnel| tunnel.name == name).map(|tunnel| tunnel.address)
    }
}

/// One end of a named tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tunnel {
    /// Name that both ends share.
    pub(crate) name: String,
    /// Address to listen on or to connect to.
    pub(crate) address: SocketAddr,
}

impl FromStr for Tunnel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, address) = text.split_once('=').ok_or("expected NAME=ADDRESS, as in tun1=127.0.0.11:38001")?;
        if name.is_empty() {
            return Err("the tunnel's name is empty".into());
        }
        let address = address.parse().map_err(|_| format!("'{address}' is no address: expected IP:PORT"))?;
        Ok(Self { name: name.into(), address })
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds")?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "expected a number of seconds that is not negative".into())
}

fn websocket_url(text: &str) -> Result<String, String> {
    text.starts_with("ws://").then(|| text.to_owned()).ok_or("expected a URL that starts with ws://".into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn reads_tunnels_of_both_families() {
        let tunnel: Tunnel = "tun1=127.0.0.11:38001".parse().unwrap();
        assert_eq!(tunnel, Tunnel { name: "tun1".into(), address: ([127, 0, 0, 11], 38001).into() });
        assert!("tun1=[::1]:38001".parse::<Tunnel>().unwrap().address.is_ipv6());
    }

    #[test]
    fn refuses_malformed_values() {
        for text in ["", "tun1", "=127.0.0.1:1", "tun1=127.0.0.1", "tun1=localhost:80", "tun1=127.0.0.1:99999"] {
            assert!(text.parse::<Tunnel>().is_err(), "{text}");
        }
        for text in ["-1", "soon", "inf", "NaN"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert!(websocket_url("http://127.0.0.11:38080").is_err());
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2500)));
    }

    #[test]
    fn reads_the_faults_by_name() {
        let line = "x server --websocket 127.0.0.1:1 --fault corrupts-one-byte";
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        assert!(cli.command.faults().has(Fault::CorruptsOneByte));
        assert!(Cli::try_parse_from("x server --websocket 127.0.0.1:1 --fault nonsense".split(' ')).is_err());
    }
}
