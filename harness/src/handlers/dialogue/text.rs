//! Text with `${variables}`, and bytes that are made of several pieces.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::error::{Fault, Flaw};

/// The variables of a dialogue that is being carried out.
pub(super) type Values = BTreeMap<String, String>;

/// Text with variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pieces: Vec<Piece>,
    pub(super) span: Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Variable(String),
}

impl Text {
    /// `${name}` is a variable; where `dollars` is set, `$$` is a dollar sign.
    pub(super) fn parse(text: &str, span: Range<usize>, dollars: bool) -> Self {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            literal.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$').filter(|_| dollars) {
                literal.push('$');
                rest = after;
            } else if let Some((name, after)) = variable(rest) {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                pieces.push(Piece::Variable(name.into()));
                rest = after;
            } else {
                literal.push('$');
            }
        }
        literal.push_str(rest);
        pieces.push(Piece::Literal(literal));
        Self { pieces, span }
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Variable(name) => Some(name.as_str()),
            Piece::Literal(_) => None,
        })
    }

    /// The text, with what `value` makes of each variable.
    fn filled(&self, value: impl Fn(&str) -> String) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Literal(text) => text.clone(),
            Piece::Variable(name) => value(name),
        };
        self.pieces.iter().map(piece).collect()
    }

    /// Every variable was found to be defined when the file was read.
    pub(super) fn fill(&self, values: &Values) -> String {
        self.filled(|name| values.get(name).cloned().unwrap_or_default())
    }

    /// As a regular expression: variables stand for themselves.
    pub(super) fn pattern(&self, values: &Values) -> String {
        self.filled(|name| regex::escape(values.get(name).map_or("", String::as_str)))
    }

    /// With a letter in the place of each variable: a regular expression that can be tried.
    pub(super) fn sample(&self) -> String {
        self.filled(|_| "x".into())
    }
}

/// The name in `{name}` at the beginning of `rest`, and what follows.
fn variable(rest: &str) -> Option<(&str, &str)> {
    let (name, after) = rest.strip_prefix('{')?.split_once('}')?;
    let is_name = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.chars().all(|other| other.is_ascii_alphanumeric() || other == '_')
    };
    is_name(name).then_some((name, after))
}

/// A time: a number of milliseconds, or text with variables that makes one.
#[derive(Clone, Debug)]
pub(super) enum Millis {
    Fixed(Duration),
    Filled(Text),
}

impl Millis {
    /// The error says what stands there instead of a number.
    pub(super) fn fill(&self, values: &Values) -> Result<Duration, String> {
        match self {
            Self::Fixed(duration) => Ok(*duration),
            Self::Filled(text) => {
                let filled = text.fill(values);
                let wrong = |_| format!("\"{filled}\" is no number of milliseconds");
                filled.parse().map(Duration::from_millis).map_err(wrong)
            }
        }
    }

    pub(super) fn text(&self) -> Option<&Text> {
        match self {
            Self::Fixed(_) => None,
            Self::Filled(text) => Some(text),
        }
    }
}

/// Bytes, put together from parts.
#[derive(Clone, Debug, Default)]
pub(super) struct Bytes(pub(super) Vec<Part>);

#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) what: What,
    pub(super) times: usize,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Text(Text),
    /// Base64 of text with variables.
    Base64Of(Bytes),
    Raw(Vec<u8>),
}

impl Bytes {
    pub(super) fn fill(&self, values: &Values) -> Vec<u8> {
        let mut filled = Vec::new();
        for part in &self.0 {
            let bytes = match &part.what {
                What::Text(text) => text.fill(values).into_bytes(),
                What::Base64Of(bytes) => data_encoding::BASE64.encode(&bytes.fill(values)).into_bytes(),
                What::Raw(bytes) => bytes.clone(),
            };
            filled.extend(std::iter::repeat_n(bytes, part.times).flatten());
        }
        filled
    }

    pub(super) fn texts(&self) -> Vec<&Text> {
        self.0
            .iter()
            .flat_map(|part| match &part.what {
                What::Text(text) => vec![text],
                What::Base64Of(bytes) => bytes.texts(),
                What::Raw(_) => vec![],
            })
            .collect()
    }
}

/// Bytes in the notation of C: `\r \n \t \0 \\ \" \e` and `\xHH`.
pub(super) fn unescape(text: &str, span: Range<usize>) -> Result<Vec<u8>, Fault> {
    let bad = |what: &str| {
        Fault::new(
            span.clone(),
            Flaw::Other(format!("`\\{what}` is no escape: write \\r \\n \\t \\0 \\e \\\\ or \\xHH")),
        )
    };
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        let letter = rest.chars().next().ok_or_else(|| bad(""))?;
        rest = &rest[letter.len_utf8()..];
        bytes.push(match letter {
            'r' => b'\r',
            'n' => b'\n',
            't' => b'\t',
            '0' => 0,
            'e' => 0x1b,
            '\\' => b'\\',
            'x' => {
                let digits = rest.get(..2).ok_or_else(|| bad("x"))?;
                rest = &rest[2..];
                u8::from_str_radix(digits, 16).map_err(|_| bad(&format!("x{digits}")))?
            }
            other => return Err(bad(&other.to_string())),
        });
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}
