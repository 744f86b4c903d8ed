//! The arguments of `cargo xtask vm`, which `run --vm` and `test --vm` take too.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::debian::Series;
use crate::kmod::Driver;

/// What `vm` takes.
pub(crate) const USAGE: &str = "usage: cargo xtask vm [options] [-- COMMAND [ARGUMENT...]]

  Runs COMMAND in a VM for each kernel, in this folder of the host's root (a copy: what it writes is gone afterwards, but for
  /out); without one, prints a table of what works on each kernel.

  --kernel SERIES     5.10, 6.1, 6.12, ... or newest; may be repeated (default: 6.1)
  --all               5.10, 6.1, 6.12 and newest
  --scap              fail when the scap module cannot be built; otherwise that is a note
  --no-scap           without the scap module (so it is for test --vm, unless --scap is said)
  --scap-src DIR      build it from this driver (a falcosecurity/libs checkout)
  --driver RELEASE    build it from the driver of this Debian release
  --deadline SECONDS  for the command (default: 1200; test --vm: 5400)
  --memory MIB        of the guest; half of it holds the files that it writes (default: 4096)
  --cpus N            of the guest (default: 2)
  --icount            count instructions: each takes a ns of the guest's clock, whatever the host does (TCG, one CPU)
  --append WORDS      more for the kernel's command line
  --accel NAME        kvm, tcg or auto: KVM when a probe boot succeeds (default)
  --out DIR           the folder that the guest sees as /out (default: target/vm/RELEASE/out)";

/// The kernels of `--all`.
const ALL: [Series; 4] = [Series::Numbered(5, 10), Series::Numbered(6, 1), Series::Numbered(6, 12), Series::Newest];

/// How much the scap module is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scap {
    /// Not at all.
    Never,
    /// Where it can be built.
    WherePossible,
    /// Or nothing runs.
    Always,
}

/// Which accelerator is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accel {
    Auto,
    Kvm,
    Tcg,
}

/// What the arguments say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// At least one.
    pub(crate) kernels: Vec<Series>,
    pub(crate) scap: Scap,
    pub(crate) driver: Driver,
    pub(crate) deadline: Duration,
    /// MiB.
    pub(crate) memory: u32,
    pub(crate) cpus: u32,
    pub(crate) accel: Accel,
    /// Whether the guest's clock counts instructions.
    pub(crate) counted: bool,
    /// For the kernel's command line.
    pub(crate) append: Option<String>,
    pub(crate) out: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            kernels: vec![Series::Numbered(6, 1)],
            scap: Scap::WherePossible,
            driver: Driver::Fitting,
            deadline: Duration::from_secs(1200),
            memory: 4096,
            cpus: 2,
            accel: Accel::Auto,
            counted: false,
            append: None,
            out: None,
        }
    }
}

impl Options {
    /// Takes options until the first argument that is none, which is returned with the rest (`--` is left out).
    pub(crate) fn parse(args: &[OsString]) -> anyhow::Result<(Self, &[OsString])> {
        Self::default().changed_by(args)
    }

    /// The same, where these are the defaults.
    pub(crate) fn changed_by(self, args: &[OsString]) -> anyhow::Result<(Self, &[OsString])> {
        let mut options = Self { kernels: Vec::new(), ..self };
        let mut rest = args;
        while let [first, after @ ..] = rest {
            let value = || -> anyhow::Result<String> {
                let value = after.first().with_context(|| format!("{} wants a value", first.display()))?;
                let value = value.to_str().with_context(|| format!("`{}` is not text", value.display()))?;
                Ok(value.to_owned())
            };
            let with_value = match first.to_str() {
                Some("--kernel") => {
                    options.kernels.push(value()?.parse()?);
                    true
                }
                Some("--deadline") => {
                    options.deadline = Duration::from_secs(number(first, &value()?)?.into());
                    true
                }
                Some("--memory") => {
                    options.memory = number(first, &value()?)?;
                    true
                }
                Some("--cpus") => {
                    options.cpus = number(first, &value()?)?;
                    true
                }
                Some("--accel") => {
                    options.accel = match value()?.as_str() {
                        "auto" => Accel::Auto,
                        "kvm" => Accel::Kvm,
                        "tcg" => Accel::Tcg,
                        other => bail!("--accel `{other}`: say kvm, tcg or auto"),
                    };
                    true
                }
                Some("--append") => {
                    options.append = Some(value()?);
                    true
                }
                Some("--out") => {
                    options.out = Some(value()?.into());
                    true
                }
                Some(flag @ ("--scap-src" | "--driver")) => {
                    options.driver = Driver::of_option(flag, &value()?)?;
                    true
                }
                Some("--all") => {
                    options.kernels.extend(ALL);
                    false
                }
                Some("--icount") => {
                    options.counted = true;
                    false
                }
                Some("--scap") => {
                    options.scap = Scap::Always;
                    false
                }
                Some("--no-scap") => {
                    options.scap = Scap::Never;
                    false
                }
                Some("--") => return Ok((options.complete(), after)),
                _ => break,
            };
            rest = if with_value { &after[1..] } else { after };
        }
        Ok((options.complete(), rest))
    }

    fn complete(mut self) -> Self {
        if self.kernels.is_empty() {
            self.kernels = Self::default().kernels;
        }
        self
    }
}

fn number(option: &OsString, text: &str) -> anyhow::Result<u32> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.with_context(|| format!("{} `{text}`: not a number above 0", option.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn options_end_where_the_command_begins() {
        let args = words("--kernel 5.10 --kernel newest --scap --deadline 60 -- ls --all -- x");
        let (options, command) = Options::parse(&args).unwrap();
        assert_eq!(options.kernels, [Series::Numbered(5, 10), Series::Newest]);
        assert_eq!((options.scap, options.deadline), (Scap::Always, Duration::from_secs(60)));
        assert_eq!(command, words("ls --all -- x"));
        let args = words("--memory 512 --case 2.1 --kernel 6.1");
        let (options, rest) = Options::parse(&args).unwrap();
        assert_eq!((options.memory, options.kernels.as_slice()), (512, &[Series::Numbered(6, 1)][..]));
        assert_eq!(rest, words("--case 2.1 --kernel 6.1"), "what follows belongs to the command");
    }

    #[test]
    fn nothing_said_is_one_kernel_and_all_is_four() {
        assert_eq!(Options::parse(&[]).unwrap().0.kernels, [Series::Numbered(6, 1)]);
        assert_eq!(Options::parse(&words("--all")).unwrap().0.kernels, ALL);
    }

    #[test]
    fn wrong_values_are_named() {
        for (wrong, word) in [
            ("--kernel", "wants a value"),
            ("--kernel x", "`x`"),
            ("--cpus 0", "`0`"),
            ("--accel hvf", "`hvf`"),
            ("--driver x", "`x`"),
        ] {
            let error = format!("{:#}", Options::parse(&words(wrong)).unwrap_err());
            assert!(error.contains(word), "{wrong}: {error}");
        }
    }
}
