//! The command line: the real program's, timeouts that a quick profile shortens, and the fault.

use std::{env, str::FromStr, time::Duration};

use clap::{Parser, ValueEnum};
use tracing::level_filters::LevelFilter;

use crate::{
    fault::{Fault, Faults},
    minipot::Timeouts,
    protocol::Kind,
};

/// Minipots of one master, at most.
const MINIPOTS: usize = 10;

/// Honeypots for FTP, HTTP, SMTP and Telnet that report what they see over ZeroMQ, and fault switches.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    /// Serve FTP at this port; repeat it, and its like, for more: 10 in all
    #[arg(short = 'F', value_name = "PORT")]
    ftp: Vec<u16>,
    /// Serve HTTP at this port
    #[arg(short = 'H', value_name = "PORT")]
    http: Vec<u16>,
    /// Serve SMTP at this port
    #[arg(short = 'S', value_name = "PORT")]
    smtp: Vec<u16>,
    /// Serve Telnet at this port
    #[arg(short = 'T', value_name = "PORT")]
    telnet: Vec<u16>,
    /// ZeroMQ address of the proxy [default: ipc, sentinel_pull.sock in the folder for temporary files]
    #[arg(short, value_name = "SOCKET")]
    socket: Option<String>,
    /// Topic of the reports
    #[arg(short, value_name = "TOPIC", default_value = "sentinel/collect/minipot")]
    pub(crate) topic: String,
    /// Become this user; needs root
    #[arg(short, value_name = "USER", default_value = "nobody")]
    pub(crate) user: String,
    /// Least severity that is logged
    #[arg(long, value_name = "LEVEL", ignore_case = true, default_value = "info")]
    log_level: LogLevel,
    /// FTP, SMTP, Telnet: close a connection so long after its last byte
    #[arg(long, value_name = "MS", default_value_t = 180_000)]
    idle_timeout_ms: u64,
    /// FTP, SMTP, Telnet: close a connection so long after its start
    #[arg(long, value_name = "MS", default_value_t = 300_000)]
    total_timeout_ms: u64,
    /// HTTP: close a connection without a byte after so long
    #[arg(long, value_name = "MS", default_value_t = 20_000)]
    http_silence_timeout_ms: u64,
    /// HTTP: close a connection so long after its last byte
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    http_idle_timeout_ms: u64,
    /// Misbehave in this way
    #[arg(long, value_name = "NAME", value_enum)]
    fault: Option<Fault>,
    /// Be this minipot, child of the master
    #[arg(long, value_name = "KIND=PORT", hide = true)]
    pub(crate) serve: Option<Minipot>,
}

/// A minipot that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Minipot {
    /// What it speaks.
    pub(crate) kind: Kind,
    /// Where it listens, at all addresses.
    pub(crate) port: u16,
}

impl Cli {
    /// The minipots asked for.
    ///
    /// # Errors
    /// When there is none, or more than 10.
    pub(crate) fn minipots(&self) -> anyhow::Result<Vec<Minipot>> {
        let ports =
            [(Kind::Ftp, &self.ftp), (Kind::Http, &self.http), (Kind::Smtp, &self.smtp), (Kind::Telnet, &self.telnet)];
        let minipots: Vec<Minipot> = ports
            .into_iter()
            .flat_map(|(kind, ports)| ports.iter().map(move |port| Minipot { kind, port: *port }))
            .collect();
        anyhow::ensure!(!minipots.is_empty(), "nothing to serve: name a port with -F, -H, -S or -T");
        anyhow::ensure!(minipots.len() <= MINIPOTS, "{} minipots are too many: {MINIPOTS} at most", minipots.len());
        Ok(minipots)
    }

    /// ZeroMQ address of the proxy.
    pub(crate) fn socket(&self) -> String {
        let default = || format!("ipc://{}", env::temp_dir().join("sentinel_pull.sock").display());
        self.socket.clone().unwrap_or_else(default)
    }

    /// The fault asked for, if any.
    pub(crate) fn faults(&self) -> Faults {
        Faults::new(self.fault)
    }

    /// Least severity that is logged.
    pub(crate) fn log_level(&self) -> LevelFilter {
        match self.log_level {
            LogLevel::Critical | LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warning => LevelFilter::WARN,
            LogLevel::Notice | LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        }
    }

    /// When a minipot of this kind gives a connection up.
    pub(crate) fn timeouts(&self, kind: Kind) -> Timeouts {
        let ms = match kind {
            Kind::Http => [Some(self.http_silence_timeout_ms), Some(self.http_idle_timeout_ms), None],
            _ => [Some(self.idle_timeout_ms), Some(self.idle_timeout_ms), Some(self.total_timeout_ms)],
        };
        let [silence, idle, total] = match self.faults() {
            faults if faults.has(Fault::NeverTimesOut) => [None; 3],
            faults if faults.has(Fault::TimesOutEarly) => ms.map(|ms| ms.map(|ms| ms / 2)),
            _ => ms,
        }
        .map(|ms| ms.map(Duration::from_millis));
        Timeouts { silence, idle, total }
    }
}

/// Severities, as the real program names them.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogLevel {
    Critical,
    Error,
    Warning,
    Notice,
    Info,
    Debug,
    Trace,
}

impl Minipot {
    /// As [`Cli::serve`] reads it.
    pub(crate) fn argument(self) -> String {
        format!("{}={}", self.kind.word(), self.port)
    }
}

impl FromStr for Minipot {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, port) = text.split_once('=').ok_or("expected KIND=PORT, as in ftp=2121")?;
        let port = port.parse().map_err(|_| format!("'{port}' is no port"))?;
        Ok(Self { kind: Kind::from_str(kind, false)?, port })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::CommandFactory as _;

    fn read(line: &str) -> Cli {
        Cli::try_parse_from(line.split(' ')).unwrap()
    }

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn reads_the_real_programs_options() {
        let cli =
            read("x -F 21 -H 80 -S 587 -T 23 -s ipc:///tmp/x -t a/b -u root --log-level WARNING --fault wrong-ts");
        let minipots: Vec<String> = cli.minipots().unwrap().into_iter().map(Minipot::argument).collect();
        assert_eq!(minipots, ["ftp=21", "http=80", "smtp=587", "telnet=23"]);
        assert_eq!((cli.socket().as_str(), cli.topic.as_str(), cli.user.as_str()), ("ipc:///tmp/x", "a/b", "root"));
        assert_eq!(cli.log_level(), LevelFilter::WARN);
        assert!(cli.faults().has(Fault::WrongTs));
    }

    #[test]
    fn has_the_real_programs_defaults() {
        let cli = read("x -F 21");
        assert!(cli.socket().starts_with("ipc:///") && cli.socket().ends_with("/sentinel_pull.sock"));
        assert_eq!((cli.topic.as_str(), cli.user.as_str()), ("sentinel/collect/minipot", "nobody"));
        let seconds = |timeouts: Timeouts| {
            [timeouts.silence, timeouts.idle, timeouts.total].map(|time| time.map(|time| time.as_secs_f64()))
        };
        assert_eq!(seconds(cli.timeouts(Kind::Telnet)), [Some(180.0), Some(180.0), Some(300.0)]);
        assert_eq!(seconds(cli.timeouts(Kind::Http)), [Some(20.0), Some(5.0), None]);
    }

    #[test]
    fn refuses_nothing_too_much_and_nonsense() {
        assert!(read("x").minipots().is_err());
        assert!(read(&format!("x{}", " -F 21".repeat(11))).minipots().is_err());
        assert!(read(&format!("x{}", " -F 21".repeat(10))).minipots().is_ok());
        for line in ["x -F 65536", "x -F ftp", "x -F 21 --fault nonsense", "x --serve ftp", "x --serve gopher=70"] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
