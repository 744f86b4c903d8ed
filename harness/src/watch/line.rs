//! A sighting as one aligned line: when, what, which ends, who, ages.

use owo_colors::{OwoColorize, Stream, Style};

use super::human;
use super::life::{Lives, Meaning, Sighting};
use crate::clock::{RealtimeOffset, Timestamp};
use crate::history::{Event, ObserverChange, ProcessChange, SocketState, Syscall, SyscallPhase};

/// How moments are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TimeStyle {
    /// The time of day here, to the microsecond.
    Clock,
    /// Seconds since the watch began.
    Relative,
}

/// Writes moments.
#[derive(Clone, Debug)]
pub struct Clock {
    style: TimeStyle,
    began: Timestamp,
    realtime: RealtimeOffset,
    zone: jiff::tz::TimeZone,
}

impl Clock {
    /// In this style, for a watch that began then.
    pub fn new(style: TimeStyle, began: Timestamp, realtime: RealtimeOffset) -> Self {
        let zone = match style {
            TimeStyle::Clock => jiff::tz::TimeZone::system(),
            TimeStyle::Relative => jiff::tz::TimeZone::UTC,
        };
        Self { style, began, realtime, zone }
    }

    /// A moment, 15 characters wide.
    pub fn show(&self, at: Timestamp) -> String {
        let realtime = i128::from(at.0) + i128::from(self.realtime.offset_ns);
        match (self.style, jiff::Timestamp::from_nanosecond(realtime)) {
            (TimeStyle::Clock, Ok(moment)) => moment.to_zoned(self.zone.clone()).strftime("%H:%M:%S.%6f").to_string(),
            _ => format!("{:>+15.6}", at.ms_after(self.began) / 1e3),
        }
    }
}

/// The line, coloured where standard output is a terminal that wants it; none for what tells a reader nothing.
pub fn line(sighting: &Sighting<'_>, lives: &Lives, clock: &Clock) -> Option<String> {
    let (word, subject, detail) = parts(sighting, lives)?;
    let who = sighting.who.as_ref().map(ToString::to_string).unwrap_or_default();
    let when = clock.show(sighting.record.at);
    let style = style(&sighting.meaning);
    let word = format!("{word:<10}");
    let word = word.if_supports_color(Stream::Stdout, |word| word.style(style));
    let when = when.if_supports_color(Stream::Stdout, |when| when.dimmed());
    let mut line = format!("{when}  {word}  {subject:<44}  {who:<22}  {detail}");
    line.truncate(line.trim_end().len());
    Some(line)
}

fn style(meaning: &Meaning) -> Style {
    match meaning {
        Meaning::Opened(_) | Meaning::Joined(_) | Meaning::Listening => Style::new().green(),
        Meaning::Closed(_) | Meaning::Left(_) => Style::new().red(),
        Meaning::Failed(_) | Meaning::Refused => Style::new().yellow(),
        Meaning::Lost => Style::new().white().on_red().bold(),
        Meaning::Accepted | Meaning::Connected(_) => Style::new().cyan(),
        Meaning::Ended(_) | Meaning::Step | Meaning::Other => Style::new(),
    }
}

/// Word, subject, detail.
fn parts(sighting: &Sighting<'_>, lives: &Lives) -> Option<(String, String, String)> {
    Some(match &sighting.record.event {
        Event::Listening(seed) => {
            ("listening".into(), format!("{}{}", seed.local, place(seed.netns, lives)), "since before the watch".into())
        }
        Event::SocketState(change) => socket(sighting, change, lives),
        Event::Process(change) => process(change),
        Event::Syscall(call) => (call.name.to_string(), String::new(), syscall(call)),
        Event::Loss { probe, count, since } => {
            let within = human(sighting.record.at.since(*since));
            ("LOST".into(), format!("{count} records of {probe}"), format!("within {within}: there is a gap above"))
        }
        Event::Observer(ObserverChange::Died { reason }) => ("LOST".into(), "the observer died".into(), reason.clone()),
        Event::Observer(ObserverChange::Lacks { what }) => ("note".into(), String::new(), what.clone()),
        Event::Note { text } => ("note".into(), String::new(), text.clone()),
        _ => return None,
    })
}

fn socket(sighting: &Sighting<'_>, change: &SocketState, lives: &Lives) -> (String, String, String) {
    let place = place(change.netns, lives);
    let subject = match change.remote {
        Some(remote) if sighting.incoming => format!("{} <- {remote}{place}", change.local),
        Some(remote) => format!("{} -> {remote}{place}", change.local),
        None => format!("{}{place}", change.local),
    };
    let (word, detail) = match &sighting.meaning {
        Meaning::Opened(None) => ("opened", String::new()),
        Meaning::Opened(Some(closed)) => ("reopened", format!("after {} closed", human(*closed))),
        Meaning::Joined(sockets) => ("joined", format!("{sockets} sockets listen there now")),
        Meaning::Left(sockets) => ("left", format!("{sockets} still listen there")),
        Meaning::Closed(age) => ("closed", format!("after listening for {age}")),
        Meaning::Refused => ("refused", "listen(2) failed: it never listened".into()),
        Meaning::Accepted => ("accepted", String::new()),
        Meaning::Connected(took) => ("connected", format!("in {}", human(*took))),
        Meaning::Failed(after) => ("failed", format!("after {}", human(*after))),
        Meaning::Ended(lasted) => ("ended", format!("after {}", human(*lasted))),
        _ => ("", String::new()),
    };
    if word.is_empty() {
        return (state(change.to), subject, format!("from {}", state(change.from)));
    }
    (word.into(), subject, detail)
}

/// Another network namespace than the one that is watched.
fn place(netns: u32, lives: &Lives) -> String {
    if netns == 0 || netns == lives.home() { String::new() } else { format!(" in netns {netns}") }
}

/// A state's name as the history has it.
fn state(state: crate::history::TcpState) -> String {
    serde_json::to_value(state).ok().and_then(|name| Some(name.as_str()?.to_owned())).unwrap_or_default()
}

fn process(change: &ProcessChange) -> (String, String, String) {
    match change {
        ProcessChange::Fork { child, .. } => ("fork".into(), String::new(), format!("child {child}")),
        ProcessChange::Exec { .. } => ("exec".into(), String::new(), String::new()),
        ProcessChange::Exit { status, .. } => {
            let how = status.map(|status| match status & 0x7f {
                0 => format!("exit code {}", status >> 8 & 0xff),
                signal => format!("signal {signal}"),
            });
            ("exit".into(), String::new(), how.unwrap_or_default())
        }
    }
}

fn syscall(call: &Syscall) -> String {
    let address = call.address.map(|address| format!(" {address}")).unwrap_or_default();
    let argument = call.argument.map(|argument| format!(" {argument}")).unwrap_or_default();
    match call.phase {
        SyscallPhase::Enter => format!("fd {}{address}{argument}", call.fd),
        SyscallPhase::Exit(result) => format!("fd {} = {result}", call.fd),
    }
}
