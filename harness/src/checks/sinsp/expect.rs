//! What a parameter has to be.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use super::event::Param;
use crate::history::Address;

/// A condition on a parameter.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expect {
    /// A number; one of several, where the kernel has more than one for the same.
    Number(Vec<i64>),
    /// An address, or a path.
    Address(Address),
    /// Two ends.
    Tuple(SocketAddr, SocketAddr),
    /// Two ends of a unix connection to this path: the kernel's own names of them are nobody's business.
    UnixTuple(String),
    /// This text.
    Text(String),
    /// Nothing, as the library shows it.
    Null,
    /// Whatever it is: the statement does not tell.
    Anything,
}

/// As the library shows a parameter without bytes, in its versions.
const NOTHING: [&str; 3] = ["", "NULL", "<NA>"];

impl Expect {
    /// A number.
    pub(super) fn number(number: i64) -> Self {
        Self::Number(vec![number])
    }

    /// Whether a parameter is as it should be: with its type where that is there, and in any case as text.
    pub(super) fn holds(&self, param: &Param<'_>) -> bool {
        match param.value {
            Some(value) => self.value(value) && (self.text(param) || *self == Self::Anything),
            None => self.text(param),
        }
    }

    fn value(&self, value: &Value) -> bool {
        match self {
            Self::Number(numbers) => numbers.iter().any(|number| is_number(value, *number)),
            Self::Address(Address::Inet(at)) => value.get("endpoint").is_some_and(|end| is_end(end, *at)),
            Self::Address(Address::Unix(path)) | Self::UnixTuple(path) => {
                value.get("path").and_then(Value::as_str) == Some(path)
            }
            Self::Tuple(source, destination) => {
                let end = |key: &str, at: SocketAddr| value.get(key).is_some_and(|end| is_end(end, at));
                end("source", *source) && end("destination", *destination)
            }
            Self::Text(text) => value.as_str() == Some(text) || value.is_null(),
            Self::Null => value.is_null() || value.as_str() == Some(""),
            Self::Address(Address::Bad) | Self::Anything => true,
        }
    }

    fn text(&self, param: &Param<'_>) -> bool {
        let text = &*param.text;
        match self {
            Self::Number(numbers) => {
                let shown = text.parse::<i64>().ok();
                numbers.iter().any(|number| shown == Some(*number) || shown == Some(i64::from(*number as u32)))
            }
            Self::Address(Address::Inet(at)) => text == shown(*at),
            Self::Address(Address::Unix(path)) => text == path,
            Self::Tuple(source, destination) => text == format!("{}->{}", shown(*source), shown(*destination)),
            Self::UnixTuple(path) => text.ends_with(&format!(" {path}")) && text.contains("->"),
            Self::Text(wanted) => text == wanted,
            Self::Null => NOTHING.contains(&text),
            Self::Address(Address::Bad) | Self::Anything => true,
        }
    }

    /// In words.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Number(numbers) => numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "),
            Self::Address(Address::Inet(at)) => shown(*at),
            Self::Address(Address::Unix(path)) => path.clone(),
            Self::Tuple(source, destination) => format!("{}->{}", shown(*source), shown(*destination)),
            Self::UnixTuple(path) => format!("...->... {path}"),
            Self::Text(text) => text.clone(),
            Self::Null => "nothing".into(),
            Self::Address(Address::Bad) | Self::Anything => "anything".into(),
        }
    }
}

/// As the library writes an address: without brackets.
fn shown(at: SocketAddr) -> String {
    format!("{}:{}", at.ip(), at.port())
}

fn is_number(value: &Value, wanted: i64) -> bool {
    // Some are unsigned although the call takes a signed number: the bits are the same.
    value.as_i64() == Some(wanted) || (wanted < 0 && value.as_u64() == Some(u64::from(wanted as u32)))
}

fn is_end(end: &Value, at: SocketAddr) -> bool {
    // Tuples may be told as v4-mapped where the text has the IPv4 address that is meant.
    let address = end.get("address").and_then(Value::as_str).and_then(|address| address.parse::<IpAddr>().ok());
    address.map(|address| address.to_canonical()) == Some(at.ip().to_canonical())
        && end.get("port").and_then(Value::as_u64) == Some(at.port().into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn param<'a>(value: Option<&'a Value>, text: &'a str) -> Param<'a> {
        Param { name: "p", value, text: text.into(), resolved: "".into() }
    }

    #[test]
    fn value_and_text_both_count() {
        let backlog = Expect::number(-1);
        assert!(backlog.holds(&param(Some(&json!(4_294_967_295_u64)), "-1")));
        assert!(backlog.holds(&param(None, "-1")) && !backlog.holds(&param(None, "1")));
        assert!(!Expect::number(4).holds(&param(Some(&json!(4)), "5")), "the text lies");
        assert!(!Expect::number(4).holds(&param(Some(&json!(5)), "4")), "the value lies");
        assert!(!Expect::number(4).holds(&param(Some(&json!("4")), "4")), "a wrong type is another value");
        let interrupted = Expect::Number(vec![-4, -512]);
        assert!(interrupted.holds(&param(Some(&json!(-512)), "-512")));
    }

    #[test]
    fn addresses_and_tuples() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let address = Expect::Address(Address::Inet(at("[::1]:80")));
        let end = json!({"family": 10, "endpoint": {"address": "::1", "port": 80}});
        assert!(address.holds(&param(Some(&end), "::1:80")) && !address.holds(&param(Some(&end), "::1:81")));
        let tuple = Expect::Tuple(at("127.0.0.1:1"), at("127.0.0.1:2"));
        let ends = json!({"family": 2, "source": {"address": "127.0.0.1", "port": 1}, "destination": {"address": "127.0.0.1", "port": 2}});
        assert!(tuple.holds(&param(Some(&ends), "127.0.0.1:1->127.0.0.1:2")));
        let turned = Expect::Tuple(at("127.0.0.1:2"), at("127.0.0.1:1"));
        assert!(!turned.holds(&param(Some(&ends), "127.0.0.1:1->127.0.0.1:2")));
        assert!(Expect::UnixTuple("a".into()).holds(&param(Some(&json!({"family": 1, "path": "a"})), "ff->fe a")));
        assert!(
            Expect::Null.holds(&param(Some(&Value::Null), "NULL")) && !Expect::Null.holds(&param(Some(&ends), "x"))
        );
    }
}
