//! What each fault must make fail, as `tests/SUITE/faults.toml` says.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expectations {
    /// The cases that the whole matrix has, where it is not all: enough to tell every fault.
    #[serde(default)]
    pub(crate) cases: Vec<String>,
    #[serde(rename = "fault")]
    faults: Vec<Fault>,
}

/// A fault, and everything that it must and may do to a run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Fault {
    /// Its name, as `--set fault=NAME` takes it.
    pub(crate) name: String,
    /// What it does, in words.
    pub(crate) effect: String,
    /// Cases that must fail.
    pub(crate) fails: Vec<Fails>,
    /// Cases that must be unknown, because the fault takes their evidence away.
    pub(crate) unknown: Vec<Fails>,
    /// Cases that may be something else than they should, because a fact of the suite forces it.
    pub(crate) may: Vec<May>,
    /// Checks of the system as a whole that must fail.
    pub(crate) system: Vec<Fails>,
    /// The run ends with this code before any case, and says this.
    pub(crate) ends: Option<Ends>,
    /// A few cases that tell it from the correct reference.
    pub(crate) short: Vec<String>,
    /// A run takes minutes longer than others.
    pub(crate) slow: bool,
}

/// Cases that must fail, with a finding that names the effect, or be unknown, with a reason that does.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fails {
    /// `2.6`, `2.5-2.8`, or `2`; none for a check of the system.
    #[serde(default)]
    pub(crate) cases: Vec<String>,
    /// How the name of the check begins.
    pub(crate) check: String,
    /// What its finding or reason contains; `*` stands for anything.
    pub(crate) finding: String,
}

/// Cases that may be one of these verdicts too.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct May {
    /// As in [`Fails`].
    pub(crate) cases: Vec<String>,
    /// `pass`, `fail` or `unknown`.
    pub(crate) be: Vec<String>,
    /// The fact of the suite that forces it.
    pub(crate) why: String,
}

/// How a run ends that does not come to its cases.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ends {
    /// The exit code of `suites run`.
    pub(crate) exit: i32,
    /// What it says on standard error; `*` stands for anything.
    pub(crate) says: String,
}

impl Expectations {
    /// Reads and checks the file.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let read: Self = toml::from_str(text)?;
        for pattern in &read.cases {
            ensure!(range(pattern).is_some(), "`{pattern}` is no case: write 2.6, 2.5-2.8 or 2");
        }
        for fault in &read.faults {
            let name = &fault.name;
            ensure!(!name.is_empty() && !fault.effect.is_empty(), "a fault without a name or an effect: `{name}`");
            ensure!(read.faults.iter().filter(|other| other.name == *name).count() == 1, "{name} stands there twice");
            let cases = !fault.fails.is_empty() || !fault.unknown.is_empty();
            let something = cases || !fault.system.is_empty() || fault.ends.is_some();
            ensure!(something, "{name} makes nothing fail: nothing would show that it acts");
            let must = fault.fails.iter().chain(&fault.unknown).map(|it| &it.cases);
            let lists = must.chain(fault.may.iter().map(|it| &it.cases));
            for pattern in lists.flatten().chain(&fault.short) {
                ensure!(range(pattern).is_some(), "{name}: `{pattern}` is no case: write 2.6, 2.5-2.8 or 2");
            }
            for verdict in fault.may.iter().flat_map(|may| &may.be) {
                ensure!(["pass", "fail", "unknown"].contains(&verdict.as_str()), "{name}: `{verdict}` is no verdict");
            }
        }
        Ok(read)
    }

    /// The faults with these names, all when there are none; an unknown name is an error for the user.
    pub(crate) fn named(&self, names: &[String]) -> Result<Vec<&Fault>, String> {
        if names.is_empty() {
            return Ok(self.faults.iter().collect());
        }
        let find = |name: &String| {
            self.faults.iter().find(|fault| fault.name == *name).ok_or_else(|| {
                let known: Vec<&str> = self.faults.iter().map(|fault| fault.name.as_str()).collect();
                format!("`{name}` is no fault that faults.toml knows; it knows {}", known.join(", "))
            })
        };
        names.iter().map(find).collect()
    }

    /// Which of these faults, the reference's own, the file says nothing of.
    pub(crate) fn lacking(&self, of_reference: &[String]) -> Vec<String> {
        let known = |name: &&String| self.faults.iter().any(|fault| fault.name == **name);
        of_reference.iter().filter(|name| *name != "none" && !known(name)).cloned().collect()
    }
}

/// Whether a pattern names a case: `2.6`, `2.5-2.8`, or `2` for all of group 2.
pub(crate) fn names(pattern: &str, case: &str) -> bool {
    let number = case.split_once('.').and_then(|(group, case)| Some((group.parse().ok()?, case.parse().ok()?)));
    range(pattern).zip(number).is_some_and(|((first, last), number)| first <= number && number <= last)
}

/// Whether `text` contains the parts of `pattern` between its `*`, in their order.
pub(crate) fn contains(text: &str, pattern: &str) -> bool {
    let mut rest = text;
    pattern.split('*').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

type Number = (u32, u32);

fn range(pattern: &str) -> Option<(Number, Number)> {
    let number = |text: &str, missing: u32| match text.split_once('.') {
        Some((group, case)) => Some((group.parse().ok()?, case.parse().ok()?)),
        None => Some((text.parse().ok()?, missing)),
    };
    let (first, last) = pattern.split_once('-').unwrap_or((pattern, pattern));
    let (first, last) = (number(first, 0)?, number(last, u32::MAX)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;

    const ONE: &str = "[[fault]]\nname = 'x'\neffect = 'e'\nshort = ['1.1']\nfails = [{ cases = ['2'], check = 'c', finding = 'f' }]\n";

    #[test]
    fn the_file_of_the_tunnel_suite_can_be_read() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tunnel/faults.toml");
        let read = Expectations::load(&path).unwrap();
        assert!(read.named(&[]).unwrap().len() > 10);
        for fault in read.named(&[]).unwrap() {
            assert!(!fault.short.is_empty() || fault.ends.is_some(), "{} has no short run", fault.name);
        }
    }

    #[test]
    fn nonsense_is_refused_by_what_is_wrong() {
        for (text, word) in [
            (ONE.replace("'2'", "'two'"), "`two` is no case"),
            (ONE.replace("['1.1']", "['2.8-2.5']"), "`2.8-2.5` is no case"),
            (format!("{ONE}{ONE}"), "twice"),
            ("[[fault]]\nname = 'x'\neffect = 'e'\n".into(), "nothing fail"),
            (format!("{ONE}may = [{{ cases = ['1'], be = ['late'], why = '' }}]"), "`late` is no verdict"),
        ] {
            let error = Expectations::parse(&text).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn faults_are_found_by_name_and_missed_where_the_file_lacks_them() {
        let read = Expectations::parse(ONE).unwrap();
        assert_eq!(read.named(&["x".into()]).unwrap()[0].name, "x");
        assert!(read.named(&["y".into()]).unwrap_err().contains("it knows x"));
        assert_eq!(read.lacking(&["none".into(), "x".into(), "y".into()]), ["y"]);
    }

    #[test]
    fn patterns_name_cases_and_texts() {
        assert!(names("2", "2.13") && names("2.5-2.12", "2.10") && names("2.6", "2.6"));
        assert!(!names("2", "3.1") && !names("2.5-2.12", "2.13") && !names("1.1", "1.10"));
        assert!(contains("it closed 5 ms too late", "closed * too late"));
        assert!(!contains("too late it closed", "closed * too late"));
    }
}
