//! What apt-cache prints, and which kernel is meant by `6.1` or `newest`.

use std::fmt;
use std::str::FromStr;

use anyhow::bail;

/// A series of kernels, as people name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Series {
    /// All that begin with these two numbers.
    Numbered(u32, u32),
    /// The highest that the mirror has.
    Newest,
}

impl FromStr for Series {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if text == "newest" {
            return Ok(Self::Newest);
        }
        match series_of(text) {
            Some((major, minor)) if text == format!("{major}.{minor}") => Ok(Self::Numbered(major, minor)),
            _ => bail!("`{text}` is no kernel series: say two numbers, as in 6.1, or newest"),
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbered(major, minor) => write!(formatter, "{major}.{minor}"),
            Self::Newest => formatter.write_str("newest"),
        }
    }
}

/// The series that a version or a release of a kernel belongs to: (6, 12) of `6.12.95-1~bpo12+1`.
pub(crate) fn series_of(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The versions that `apt-cache madison` lists, best first as it sorts them.
pub(super) fn versions(madison: &str) -> Vec<String> {
    madison.lines().filter_map(|line| line.split('|').nth(1)).map(|version| version.trim().to_owned()).collect()
}

/// The names in the `Depends` field that `apt-cache show` prints: the first of alternatives, without versions.
pub(super) fn depends(show: &str) -> Vec<String> {
    let Some(field) = show.lines().find_map(|line| line.strip_prefix("Depends:")) else { return Vec::new() };
    let first_word = |part: &str| part.split(['|', '(']).next().unwrap_or_default().trim().to_owned();
    field.split(',').map(first_word).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_series_is_two_numbers_or_newest() {
        assert_eq!("6.1".parse::<Series>().unwrap(), Series::Numbered(6, 1));
        assert_eq!("newest".parse::<Series>().unwrap(), Series::Newest);
        for wrong in ["6", "6.1.0", "latest", "", "6.x", "06.1", "-6.1"] {
            let error = wrong.parse::<Series>().unwrap_err().to_string();
            assert!(error.contains(wrong) && error.contains("newest"), "{error}");
        }
    }

    #[test]
    fn six_one_is_not_six_twelve() {
        assert_eq!(series_of("6.12.95-1~bpo12+1"), Some((6, 12)));
        assert_eq!(series_of("6.1.192-2"), Some((6, 1)));
        assert_eq!(series_of("5.10.0-46-amd64"), Some((5, 10)));
        assert_eq!(series_of("sid"), None);
    }

    #[test]
    fn versions_come_in_the_order_of_apt() {
        let madison = "linux-image-amd64 | 7.2.12-1~bpo13+1 | http://deb.debian.org/debian trixie-backports/main amd64 Packages\n\
                       linux-image-amd64 | 6.12.117-1 | http://deb.debian.org/debian-security trixie-security/main amd64 Packages\n";
        assert_eq!(versions(madison), ["7.2.12-1~bpo13+1", "6.12.117-1"]);
        assert_eq!(versions("N: Unable to locate package x\n"), Vec::<String>::new());
    }

    #[test]
    fn dependencies_lose_their_versions_and_alternatives() {
        let show = "Package: linux-image-7.2.12+deb13-amd64\nPre-Depends: no-such\nDepends: dracut | initramfs-tools (>= 0.120) | \
                    x, linux-base-7.2.12+deb13-amd64 (= 7.2.12-1), linux-modules-7.2.12+deb13-amd64\nSize: 1\n";
        assert_eq!(depends(show), ["dracut", "linux-base-7.2.12+deb13-amd64", "linux-modules-7.2.12+deb13-amd64"]);
        assert_eq!(depends("Package: x\n"), Vec::<String>::new());
    }
}
