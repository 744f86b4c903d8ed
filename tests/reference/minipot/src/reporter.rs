//! The way of reports from a minipot to its master: a pipe, written to before the reply goes out.

use std::{
    fs::File,
    io::Write as _,
    net::IpAddr,
    process,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context as _;

use crate::{
    fault::{Fault, Faults},
    protocol::{Event, Kind},
    report::Report,
};

/// Reports after which a minipot with [`Fault::DiesSilently`] ends.
const LAST_REPORT: u32 = 10;

/// Writes reports.
#[derive(Debug)]
pub(crate) struct Reporter {
    kind: Kind,
    pipe: File,
    faults: Faults,
    written: u32,
    /// Reports that wait for their time.
    later: Vec<(Instant, Vec<u8>)>,
    /// The last login, and the connection that it came from.
    last_login: Option<(u64, Event)>,
    /// The last report but connects, and the connection that it came from.
    last_other: Option<(u64, Vec<u8>)>,
}

/// Where reports come from.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Number of the connection.
    pub(crate) id: u64,
    /// Its peer.
    pub(crate) ip: IpAddr,
    reports: u32,
    held: Option<Vec<u8>>,
}

impl Origin {
    pub(crate) fn new(id: u64, ip: IpAddr) -> Self {
        Self { id, ip, reports: 0, held: None }
    }
}

impl Reporter {
    /// Writes to `pipe`, for a minipot of this kind.
    pub(crate) fn new(kind: Kind, pipe: File, faults: Faults) -> Self {
        Self { kind, pipe, faults, written: 0, later: Vec::new(), last_login: None, last_other: None }
    }

    /// Reports `event` of the connection `origin`.
    ///
    /// # Errors
    /// When the master is gone.
    pub(crate) fn report(&mut self, origin: &mut Origin, mut event: Event) -> anyhow::Result<()> {
        origin.reports += 1;
        let login = event.action == "login";
        if login {
            let last = self.last_login.replace((origin.id, event.clone()));
            if let Some((_, last)) = last.filter(|(id, _)| self.faults.has(Fault::CrossTalk) && *id != origin.id) {
                event = last;
            }
        }
        let packed =
            Report { kind: self.kind, ip: origin.ip, now: SystemTime::now(), event: &event }.pack(self.faults)?;
        let connect = event.action == "connect";
        let stale = self.last_other.clone().filter(|(id, _)| connect && *id != origin.id);
        if !connect {
            self.last_other = Some((origin.id, packed.clone()));
        }
        match self.faults.on() {
            Some(Fault::LosesReport) if origin.reports == 3 => {}
            Some(Fault::LosesConnects) if connect => {}
            Some(Fault::DuplicatesReport) if login => {
                self.write(&packed)?;
                self.write(&packed)?;
            }
            Some(Fault::ReordersReports) if connect && self.kind == Kind::Ftp => origin.held = Some(packed),
            Some(Fault::DelaysReport) if login => self.write_later(3000, packed),
            Some(Fault::ReportsAfterReply) if login && self.kind == Kind::Ftp => self.write_later(1000, packed),
            Some(Fault::StaleReport) => {
                self.write(&packed)?;
                if let Some((_, stale)) = stale {
                    self.write(&stale)?;
                }
            }
            _ => {
                self.write(&packed)?;
                self.write_held(origin)?;
            }
        }
        Ok(())
    }

    /// The connection has ended.
    ///
    /// # Errors
    /// When the master is gone.
    pub(crate) fn end(&mut self, origin: &mut Origin) -> anyhow::Result<()> {
        if self.faults.has(Fault::ReportsTheEnd) {
            self.report(origin, Event::INVALID)?;
        }
        self.write_held(origin)
    }

    /// When a report that waits is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.later.iter().map(|(due, _)| *due).min()
    }

    /// Writes the reports that are due at `now`.
    ///
    /// # Errors
    /// When the master is gone.
    pub(crate) fn write_due(&mut self, now: Instant) -> anyhow::Result<()> {
        let (due, later) = std::mem::take(&mut self.later).into_iter().partition(|(due, _)| *due <= now);
        self.later = later;
        let mut due: Vec<(Instant, Vec<u8>)> = due;
        due.sort_by_key(|(due, _)| *due);
        due.iter().try_for_each(|(_, packed)| self.write(packed))
    }

    /// Writes the reports that wait, for there will be no later.
    ///
    /// # Errors
    /// When the master is gone.
    pub(crate) fn write_all(&mut self) -> anyhow::Result<()> {
        std::mem::take(&mut self.later).iter().try_for_each(|(_, packed)| self.write(packed))
    }

    fn write_held(&mut self, origin: &mut Origin) -> anyhow::Result<()> {
        origin.held.take().map_or(Ok(()), |held| self.write(&held))
    }

    fn write_later(&mut self, ms: u64, packed: Vec<u8>) {
        self.later.push((Instant::now() + Duration::from_millis(ms), packed));
    }

    fn write(&mut self, packed: &[u8]) -> anyhow::Result<()> {
        // One write a report: the master reads length and bytes together.
        let framed = [&packed.len().to_ne_bytes()[..], packed].concat();
        self.pipe.write_all(&framed).context("cannot report: the master is gone")?;
        self.written += 1;
        if self.written == LAST_REPORT && self.faults.has(Fault::DiesSilently) {
            process::exit(0);
        }
        Ok(())
    }
}

// The length is 8 bytes on every machine that this runs on.
const _: () = assert!(size_of::<usize>() == 8);
