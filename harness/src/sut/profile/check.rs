//! What a profile must keep to beyond its syntax, checked before anything is started.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use super::{Flaw, ProcessSpec, Profile};

impl Profile {
    pub(super) fn check(&self) -> Result<(), Flaw> {
        if self.processes.is_empty() {
            return Err(Flaw::NoProcess);
        }
        if let Some(key) = self.quick.keys().find(|key| !self.settings.contains_key(*key)) {
            return Err(Flaw::NoSetting { key: key.clone(), known: names(&self.settings) });
        }
        let mut seen = BTreeSet::new();
        for process in &self.processes {
            if !seen.insert(&process.name) {
                return Err(Flaw::SameName { process: process.name.clone() });
            }
            self.check_process(process)?;
        }
        Ok(())
    }

    fn check_process(&self, spec: &ProcessSpec) -> Result<(), Flaw> {
        let process = spec.name.clone();
        if matches!(spec.name.as_str(), "" | "." | "..") || spec.name.contains('/') {
            return Err(Flaw::BadName { process });
        }
        if spec.command.is_empty() {
            return Err(Flaw::NoCommand { process });
        }
        if let Some(file) = spec.files.iter().find(|file| !is_inside(&file.path)) {
            return Err(Flaw::Outside { process, path: file.path.clone() });
        }
        match spec.listens.iter().find(|key| !self.endpoints.contains_key(*key)) {
            Some(key) => Err(Flaw::NoEndpoint { process, key: key.clone(), known: names(&self.endpoints) }),
            None => Ok(()),
        }
    }
}

/// Whether a path stays below the folder that it is relative to, and is not that folder.
fn is_inside(path: &Path) -> bool {
    path.file_name().is_some() && path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

fn names<T>(of: &BTreeMap<String, T>) -> String {
    if of.is_empty() {
        return "none".into();
    }
    of.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const GOOD: &str = "name = 'n'\nsuite = 's'\n[settings]\nwait = 2.5\nsize = 1\n[quick]\nwait = 1\n[endpoints]\nweb = '127.0.0.1:80'\n\
                        [[process]]\nname = 'p'\ncommand = ['true']\nlistens = ['web']\n\
                        [[process.file]]\npath = 'etc/p.conf'\ncontent = ''\n[[process]]\nname = 'q'\ncommand = ['true']\n";

    fn said(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from));
        Profile::parse(Path::new("p.toml"), &GOOD.replacen(from, to, 1)).unwrap_err().to_string()
    }

    #[test]
    fn a_good_profile_passes() {
        let profile = Profile::parse(Path::new("p.toml"), GOOD).unwrap();
        assert_eq!(profile.check(), Ok(()));
    }

    #[test]
    fn a_key_of_quick_must_be_a_setting() {
        assert_eq!(
            said("[quick]\nwait", "[quick]\nwiat"),
            "the profile p.toml is not valid: [quick] replaces the setting `wiat`, but [settings] has none of that name; \
             it has: size, wait"
        );
        assert!(said("[settings]\nwait = 2.5\nsize = 1", "[settings]").ends_with("it has: none"));
    }

    #[test]
    fn processes_have_names_of_their_own() {
        assert!(said("name = 'q'", "name = 'p'").contains("two processes are named `p`: give each a name of its own"));
    }

    #[test]
    fn a_name_of_a_process_is_that_of_a_folder() {
        for name in ["", ".", "..", "a/b", "/"] {
            let said = said("name = 'q'", &format!("name = '{name}'"));
            assert!(said.contains(&format!("`{name}` cannot be the name of a process")), "{said}");
        }
    }

    #[test]
    fn a_process_has_a_program() {
        assert!(said("command = ['true']", "command = []").contains("the process `p` has an empty `command`"));
        let none = Profile::parse(Path::new("p.toml"), "name = 'n'\nsuite = 's'\nprocess = []").unwrap_err();
        assert!(none.to_string().contains("it has no process: add a [[process]]"));
    }

    #[test]
    fn files_stay_in_the_folder_of_the_process() {
        for path in ["/etc/passwd", "../p.conf", "etc/../../p.conf", "", ".", ".."] {
            let said = said("path = 'etc/p.conf'", &format!("path = '{path}'"));
            assert!(said.contains(&format!("the file `{path}` of the process `p` must be in")), "{said}");
        }
    }

    #[test]
    fn a_process_listens_at_a_known_endpoint() {
        assert!(said("listens = ['web']", "listens = ['wob']").ends_with("has no endpoint `wob`; it has: web"));
    }
}
