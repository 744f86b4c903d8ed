//! The steps of a dialogue, as they are carried out.

use std::ops::Range;

use super::text::{Bytes, Millis, Text};

/// The connection of steps that name none.
pub(super) const MAIN: &str = "main";

#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Its bytes in the file.
    pub(super) span: Range<usize>,
    /// `12:3`, its line and column.
    pub(super) place: String,
    /// On which connection.
    pub(super) on: String,
    pub(super) act: Act,
}

#[derive(Clone, Debug)]
pub(super) enum Act {
    Connect(Connect),
    Send(Send),
    Expect { what: Expectation, wait: Option<Millis> },
    ExpectClose { how: How, not_before: Option<Millis>, wait: Option<Millis> },
    Silence(Millis),
    Delay(Millis),
    HalfClose,
    Close,
    Reset,
    Report(ReportSpec),
    Repeat { times: u32, pipelined: bool, steps: Vec<Step> },
}

#[derive(Clone, Debug)]
pub(super) struct Connect {
    /// A `connect` report is expected.
    pub(super) report: bool,
    pub(super) outcome: Outcome,
    pub(super) wait: Option<Millis>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Succeeds,
    Refused,
    TimesOut,
}

#[derive(Clone, Debug)]
pub(super) struct Send {
    pub(super) bytes: Bytes,
    pub(super) split: Split,
    pub(super) pause: Millis,
    /// The system may close the connection before everything was sent.
    pub(super) may_be_cut: bool,
    pub(super) reports: Vec<ReportSpec>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Split {
    None,
    /// After these bytes, in rising order.
    At(Vec<usize>),
    EveryByte,
}

/// The ways in which a connection may be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Any,
    Eof,
    Reset,
}

#[derive(Clone, Debug)]
pub(super) enum Expectation {
    /// Exactly these bytes.
    Literal(Bytes),
    /// Lines that end with CR LF, without these.
    Lines(Vec<Matcher>),
    /// What comes before these bytes.
    Until {
        end: Bytes,
        what: Matcher,
    },
    /// So many bytes.
    Length {
        length: usize,
        what: Matcher,
    },
    Http(Box<Http>),
}

#[derive(Clone, Debug)]
pub(super) enum Matcher {
    Anything,
    Is(Bytes),
    /// A regular expression that matches the whole; named groups become variables.
    Matches(Text),
}

#[derive(Clone, Debug)]
pub(super) struct Http {
    pub(super) status: u16,
    pub(super) reason: Option<Text>,
    /// Each must be there, and match.
    pub(super) headers: Vec<(String, Matcher)>,
    /// What Content-Length announces.
    pub(super) content_length: Option<usize>,
    /// How much of a body is read, where that differs.
    pub(super) body_length: Option<usize>,
    pub(super) body: Matcher,
}

#[derive(Clone, Debug)]
pub(super) struct ReportSpec {
    pub(super) action: Text,
    /// In the order of the file.
    pub(super) data: Option<Vec<(String, Bytes)>>,
}
