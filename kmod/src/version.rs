//! Versions of the interface between the scap module and its readers.

use std::fmt;
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

impl Versions {
    /// API versions that the rings can be read with: 1 as Debian 12 has it, 8 as Debian sid has it, and what lies between.
    pub const API: std::ops::RangeInclusive<u32> = 1..=10;

    /// Whether the protocol of this API is known.
    pub fn is_known(&self) -> bool {
        Self::API.contains(&self.api.major)
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
    fn an_api_from_the_future_is_not_known() {
        let versions = |major| Versions {
            api: Version { major, minor: 0, patch: 0 },
            schema: Version { major: 4, minor: 1, patch: 0 },
        };
        assert!(versions(1).is_known() && versions(8).is_known());
        assert!(!versions(0).is_known() && !versions(11).is_known());
    }
}
