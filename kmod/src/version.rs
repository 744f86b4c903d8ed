//! Versions of the interface between the scap module and its readers.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A version of three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Changes when readers of the older ones fail.
    pub major: u32,
    /// Changes when something is added.
    pub minor: u32,
    /// Changes with corrections.
    pub patch: u32,
}

/// What a module says of its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The ioctls and the rings.
    pub api: Version,
    /// The events in the rings.
    pub schema: Version,
}

/// Text that is not a version.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a version of three numbers")]
pub struct VersionError(String);

/// How a module is asked for events, which it writes, and where it counts what it lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Kinds of events are chosen, and each ring is switched on. A call has an event at its entry and one at its exit. Debian 12:
    /// API 1.0.0, schema 1.0.0.
    Events,
    /// System calls and tracepoints are chosen. A call has an event at its entry and one at its exit, and full rings are counted
    /// by fourteen kinds. Debian 13: API 8.0.3, schema 3.5.0.
    CallsInPairs,
    /// The same with an event at the exit alone, but for connect, and ten kinds. Debian sid: API 8.0.4, schema 4.1.0; so are API
    /// 9 and 10.
    Calls,
}

/// First numbers of API and schema, and what is spoken there: no other place knows.
const KNOWN: [(RangeInclusive<u32>, RangeInclusive<u32>, Protocol); 3] =
    [(1..=1, 1..=1, Protocol::Events), (8..=8, 3..=3, Protocol::CallsInPairs), (8..=10, 4..=4, Protocol::Calls)];

impl Versions {
    /// The protocol that is spoken, where it is known.
    pub fn protocol(&self) -> Option<Protocol> {
        let known = KNOWN
            .into_iter()
            .find(|(api, schema, _)| api.contains(&self.api.major) && schema.contains(&self.schema.major));
        known.map(|(.., protocol)| protocol)
    }

    /// Whether its rings can be read.
    pub fn is_known(&self) -> bool {
        self.protocol().is_some()
    }

    /// Those that are, in words.
    pub fn known() -> String {
        let span = |range: RangeInclusive<u32>| match range.clone().count() {
            1 => range.start().to_string(),
            _ => format!("{} to {}", range.start(), range.end()),
        };
        let words = KNOWN.map(|(api, schema, _)| format!("API {} with schema {}", span(api), span(schema)));
        words.join(", ")
    }
}

impl Version {
    /// From the module's ioctls: `major << 44 | minor << 24 | patch` (`driver/ppm_api_version.h`).
    pub fn unpack(packed: u64) -> Self {
        let bits = |shift: u32, width: u32| u32::try_from(packed >> shift & ((1 << width) - 1)).unwrap_or(u32::MAX);
        Self { major: bits(44, 19), minor: bits(24, 20), patch: bits(0, 24) }
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let numbers: Result<Vec<u32>, _> = text.trim().split('.').map(str::parse).collect();
        match numbers.as_deref() {
            Ok(&[major, minor, patch]) => Ok(Self { major, minor, patch }),
            _ => Err(VersionError(text.to_owned())),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "API {}, schema {}", self.api, self.schema)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_packed_number_say_the_same() {
        assert_eq!("8.0.4".parse(), Ok(Version { major: 8, minor: 0, patch: 4 }));
        assert_eq!(Version::unpack(8 << 44 | 4).to_string(), "8.0.4");
        assert_eq!(Version::unpack(10 << 44 | 1 << 24).to_string(), "10.1.0");
        assert_eq!(Version::unpack(u64::MAX).to_string(), "524287.1048575.16777215");
    }

    #[test]
    fn anything_else_is_named() {
        for wrong in ["", "1.0", "1.0.0.0", "1.x.0", "-1.0.0"] {
            assert_eq!(wrong.parse::<Version>(), Err(VersionError(wrong.to_owned())));
        }
    }

    #[test]
    fn versions_that_were_read_are_known_and_those_between_and_beyond_are_not() {
        let of = |api, schema| {
            let version = |major| Version { major, minor: 5, patch: 3 };
            Versions { api: version(api), schema: version(schema) }.protocol()
        };
        assert_eq!(of(1, 1), Some(Protocol::Events));
        assert_eq!(of(8, 3), Some(Protocol::CallsInPairs));
        assert_eq!([of(8, 4), of(9, 4), of(10, 4)], [Some(Protocol::Calls); 3]);
        for (api, schema) in [(0, 1), (1, 2), (2, 2), (3, 2), (7, 3), (8, 2), (8, 5), (10, 3), (11, 4), (99, 4)] {
            assert_eq!(of(api, schema), None, "API {api}, schema {schema}");
        }
        let known = "API 1 with schema 1, API 8 with schema 3, API 8 to 10 with schema 4";
        assert_eq!(Versions::known(), known);
    }
}
