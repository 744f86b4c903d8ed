//! The faults: named misbehaviours, each injected at one point of the program, that a case of the suite must catch.
//!
//! Faults of a report's content live in [`crate::report`], of its way to the master in [`crate::reporter`], of the master's way to the
//! proxy in [`crate::master`], of connections in [`crate::minipot`], and of what is said in [`crate::protocol`].

use clap::ValueEnum;

/// A named misbehaviour. A fault that touches one protocol only leaves the others alone; 'login report' means one with action `login`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// No fault: what a profile passes when it wants the correct minipot
    None,

    // Which reports come, and when
    /// The third report of each connection is lost
    LosesReport,
    /// No connect report comes
    LosesConnects,
    /// Each login report comes twice
    DuplicatesReport,
    /// FTP: the connect report of each connection comes after the one that follows it, or at its end
    ReordersReports,
    /// Each login report comes 3 s late
    DelaysReport,
    /// FTP: each login report comes a second after the reply
    ReportsAfterReply,
    /// With each connect report the last other report of an earlier connection comes once more
    StaleReport,
    /// A login report carries the data of the last one of another connection to the same minipot, when there was one
    CrossTalk,
    /// The end of a connection is reported, as invalid
    ReportsTheEnd,
    /// The master keeps reports back and forwards them every 3 s
    BatchesReports,
    /// The master forwards 10 reports, then no more
    GoesQuiet,
    /// The master keeps each report back for 0.8 s, and stops without forwarding those
    DropsAtStop,

    // What a report says
    /// Passwords are reported without their last character
    WrongField,
    /// A report says its action before its address
    WrongKeyOrder,
    /// The keys of `data` come in reverse order
    WrongDataOrder,
    /// The values in `data` are MessagePack bin
    BinForStr,
    /// `ts` is 5 s in the past
    WrongTs,
    /// `ts` is a float
    FloatTs,
    /// Login reports lack the password
    MissingField,
    /// Reports have a sixth key, `port`
    ExtraField,
    /// `type` is in capitals
    WrongTypeWord,
    /// `ip` of an IPv4 peer has its lowest bit flipped
    WrongIp,
    /// `ip` of an IPv4 peer is in its v4-mapped form
    MappedIp,
    /// SMTP: `our_domain` is not the host of the greeting
    WrongDomain,
    /// SMTP: user name and domain part at the first `@`
    SplitsAtFirst,
    /// Text that breaks the text rule is reported, mended, as if it kept it
    ReportsAnyText,
    /// HTTP: messages are reported without the user agent
    NoUserAgent,

    // The way to the proxy
    /// The welcome is sent again after the first report
    SecondWelcome,
    /// No welcome is sent
    NoWelcome,
    /// Reports come under the topic with `/reports` appended
    WrongTopic,
    /// An empty third frame follows each report
    ExtraFrame,
    /// Every message is kept for a proxy that takes none
    KeepsAll,
    /// 999 messages are kept for a proxy that takes none
    KeepsFewer,
    /// One message more than are kept ends the master at once
    GivesUpAtOnce,
    /// One message more than are kept holds the master up for ever
    NeverGivesUp,
    /// A master whose reports nobody takes exits with code 1
    WrongExitCode,

    // What is said
    /// A failed login is answered with another code: FTP 531, SMTP 536, HTTP 403; Telnet says `Login failed`
    WrongCode,
    /// FTP, SMTP and Telnet say nothing at first
    NoBanner,
    /// FTP, SMTP: commands are only known in capitals
    CaseSensitive,
    /// FTP: PASS does not clear the user
    KeepsUser,
    /// FTP: 503s count towards the limit
    Counts503,
    /// SMTP: RSET does not end the MAIL transaction
    IgnoresRset,
    /// SMTP: `*` while it waits for credentials is bad base64
    IgnoresAbort,
    /// HTTP: bodies are not skipped
    ReadsBodyAsRequest,
    /// HTTP: a line may end with LF alone
    LenientLines,
    /// Telnet: LF alone ends a line
    LfEndsLine,
    /// Telnet: DO and WILL get no reply
    IgnoresIac,
    /// Telnet: EC and EL erase nothing
    ErasesNothing,

    // Connections
    /// Nothing is closed at a limit of attempts, requests or errors
    NoCloseAtLimit,
    /// Connections close one attempt, request or error before the limit
    ClosesEarly,
    /// A minipot serves 6 connections at once
    ServesSix,
    /// A connection that sends a second command with the first gets one answer, then nothing
    StallsOnPipelining,
    /// A line that comes in pieces loses its first ones
    LosesPieces,
    /// Timeouts do nothing
    NeverTimesOut,
    /// Timeouts come after half the time
    TimesOutEarly,
    /// Sockets are IPv4 only
    OnlyIpv4,

    // Processes
    /// A minipot ends, with code 0 and without a word, when it has made 10 reports
    DiesSilently,
    /// When a minipot ends, the others go on
    OutlivesChild,
    /// SIGTERM does nothing; SIGINT works
    IgnoresStop,
    /// The master exits with code 3 and a message before any port is open
    DiesAtStart,
    /// The SMTP minipot never listens
    NeverListens,
}

/// The faults switched on in this process: none or one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults(Option<Fault>);

impl Faults {
    /// Switches `fault` on.
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Self(fault.filter(|fault| *fault != Fault::None))
    }

    /// Whether `fault` is switched on.
    pub(crate) fn has(self, fault: Fault) -> bool {
        self.0 == Some(fault)
    }

    /// The one switched on.
    pub(crate) fn on(self) -> Option<Fault> {
        self.0
    }

    /// The attempts, requests or errors after which a connection closes, when `correct` is right.
    pub(crate) fn limit(self, correct: u32) -> u32 {
        match self.0 {
            Some(Fault::NoCloseAtLimit) => u32::MAX,
            Some(Fault::ClosesEarly) => correct - 1,
            _ => correct,
        }
    }
}
