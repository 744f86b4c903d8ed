//! What a profile must keep to beyond its syntax, checked before anything is started.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use super::place::{Place, Step};
use super::{Flaw, ProcessSpec, Profile, Setting};
use crate::sut::template::{self, Template};

/// A flaw, and the key that has it.
type Found = (Place, Flaw);

impl Profile {
    pub(super) fn check(&self) -> Result<(), Found> {
        if self.processes.is_empty() && self.capture.is_none() {
            return Err((vec![], Flaw::NoProcess));
        }
        self.check_capture()?;
        if let Some(key) = self.quick.keys().find(|key| !self.settings.contains_key(*key)) {
            let flaw = Flaw::NoSetting { key: key.clone(), known: names(&self.settings) };
            return Err((vec!["quick".into(), key.into()], flaw));
        }
        for (table, settings) in [("settings", &self.settings), ("quick", &self.quick)] {
            if let Some((key, variable)) = settings.iter().find_map(|(key, value)| Some((key, variable_in(value)?))) {
                let flaw = Flaw::TemplateInSetting { key: key.clone(), variable };
                return Err((vec![table.into(), key.into()], flaw));
            }
        }
        if let Some((key, _)) = self.endpoints.iter().find(|(_, endpoint)| endpoint.port() == 0) {
            return Err((vec!["endpoints".into(), key.into()], Flaw::NoPort { key: key.clone() }));
        }
        let mut seen = BTreeSet::new();
        for (index, process) in self.processes.iter().enumerate() {
            let at = |rest: &[Step]| [&["process".into(), Step::Index(index)], rest].concat();
            if !seen.insert(&process.name) {
                return Err((at(&["name".into()]), Flaw::SameName { process: process.name.clone() }));
            }
            self.check_process(process).map_err(|(place, flaw)| (at(&place), flaw))?;
        }
        match self.collision() {
            Some((one, other)) => {
                let flaw = Flaw::Collision { one: one.clone(), other: other.clone(), endpoint: self.endpoints[other] };
                Err((vec!["endpoints".into(), other.into()], flaw))
            }
            None => Ok(()),
        }
    }

    fn check_capture(&self) -> Result<(), Found> {
        let Some(spec) = &self.capture else { return Ok(()) };
        if spec.command.is_empty() {
            return Err((vec!["capture".into(), "command".into()], Flaw::NoCommand { process: "capture".into() }));
        }
        let template = Template::new(self, Path::new(""));
        for (at, text) in spec.command.iter().enumerate() {
            if let Err(why) = template.fill(text) {
                let flaw = Flaw::Template { process: "capture".into(), part: "command".into(), why: why.to_string() };
                return Err((vec!["capture".into(), "command".into(), Step::Index(at)], flaw));
            }
        }
        Ok(())
    }

    fn check_process(&self, spec: &ProcessSpec) -> Result<(), Found> {
        let process = spec.name.clone();
        if matches!(spec.name.as_str(), "" | "." | "..") || spec.name.contains(['/', '\0']) {
            return Err((vec!["name".into()], Flaw::BadName { process }));
        }
        if spec.command.is_empty() {
            return Err((vec!["command".into()], Flaw::NoCommand { process }));
        }
        if let Some(index) = spec.files.iter().position(|file| !is_inside(&file.path)) {
            let flaw = Flaw::Outside { process, path: spec.files[index].path.clone() };
            return Err((vec!["file".into(), Step::Index(index), "path".into()], flaw));
        }
        if let Some(key) = spec.listens.iter().find(|key| !self.endpoints.contains_key(*key)) {
            let flaw = Flaw::NoEndpoint { process, key: key.clone(), known: names(&self.endpoints) };
            return Err((vec!["listens".into()], flaw));
        }
        self.check_templates(spec)
    }

    /// Fills every template in once: what they are made of does not change any more.
    fn check_templates(&self, spec: &ProcessSpec) -> Result<(), Found> {
        let command = spec.command.iter().enumerate().map(|(at, text)| (vec!["command".into(), Step::Index(at)], text));
        let env = spec.env.iter().map(|(key, text)| (vec!["env".into(), key.into()], text));
        let files = spec.files.iter().enumerate();
        let files = files.map(|(at, file)| (vec!["file".into(), Step::Index(at), "content".into()], &file.content));
        let template = Template::new(self, Path::new(""));
        for (place, text) in command.chain(env).chain(files) {
            if let Err(why) = template.fill(text) {
                let part = match &place[0] {
                    Step::Key(part) => part.clone(),
                    Step::Index(_) => String::new(),
                };
                return Err((place, Flaw::Template { process: spec.name.clone(), part, why: why.to_string() }));
            }
        }
        Ok(())
    }

    /// Two names in `listens` that cannot both be listened at.
    pub(super) fn collision(&self) -> Option<(&String, &String)> {
        let listened: BTreeSet<&String> = self.processes.iter().flat_map(|process| &process.listens).collect();
        let listened: Vec<_> = listened.into_iter().filter_map(|key| Some((key, self.endpoints.get(key)?))).collect();
        listened.iter().enumerate().find_map(|(at, (one, here))| {
            let (other, _) = listened[at + 1..].iter().find(|(_, there)| here.collides(**there))?;
            Some((*one, *other))
        })
    }
}

/// A variable that a template would fill in, but a setting does not.
fn variable_in(value: &Setting) -> Option<String> {
    match value {
        Setting::Text(text) => template::variable(text),
        _ => None,
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
        // Two processes may share a port by SO_REUSEPORT, under one name.
        let shared = GOOD.to_owned() + "listens = ['web']\n";
        assert!(Profile::parse(Path::new("p.toml"), &shared).is_ok());
    }

    #[test]
    fn a_key_of_quick_must_be_a_setting() {
        assert_eq!(
            said("[quick]\nwait", "[quick]\nwiat"),
            "the profile p.toml:7 is not valid: [quick] replaces the setting `wiat`, but [settings] has none of that name; \
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

    #[test]
    fn templates_name_what_there_is() {
        let said = said("content = ''", "content = 'port ${endpoint.wob.port}'");
        let expected = "the profile p.toml:16 is not valid: the `file` of the process `p` cannot be filled in: the profile n \
                        has no endpoint `wob`; it has: web";
        assert_eq!(said, expected);
    }

    #[test]
    fn a_setting_is_not_filled_in() {
        let said = said("size = 1", "size = '${setting.wait}'");
        assert!(said.contains("p.toml:5 is not valid: the setting `size` has `${setting.wait}` in it"), "{said}");
    }

    #[test]
    fn endpoints_can_be_listened_at() {
        assert!(said("127.0.0.1:80", "127.0.0.1:0").contains("p.toml:9 is not valid: the endpoint `web` has port 0"));
        let listens = "web = '127.0.0.1:80'\nweb2 = '0.0.0.0:80'";
        let both = GOOD.replace("web = '127.0.0.1:80'", listens).replace("['web']", "['web', 'web2']");
        let said = Profile::parse(Path::new("p.toml"), &both).unwrap_err().to_string();
        assert!(
            said.contains("p.toml:10 is not valid: the endpoints `web` and `web2` collide at 0.0.0.0:80"),
            "{said}"
        );
    }
}
