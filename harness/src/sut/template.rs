//! Fills `${name}` in commands, environments and configuration files.

use std::path::{Path, PathBuf};

use super::profile::{Profile, ProfileError};

/// The variables of one process: `${dir}` (its folder), `${bin}` (the folder of this program), `${target}` (the folder
/// above that), `${reports}` (where it sends its reports, `ipc://PATH` or `tcp://ADDRESS:PORT`), `${setting.NAME}`, `${endpoint.NAME}`, `${endpoint.NAME.host}` and `${endpoint.NAME.port}`.
pub(super) struct Template<'a> {
    profile: &'a Profile,
    dir: PathBuf,
    bin: PathBuf,
}

impl<'a> Template<'a> {
    pub(super) fn new(profile: &'a Profile, dir: &Path) -> Self {
        let own = std::env::current_exe().unwrap_or_default();
        let bin = own.parent().map(PathBuf::from).unwrap_or_default();
        // Test binaries lie one folder deeper than the programs they belong to.
        let bin = if bin.ends_with("deps") { bin.parent().map(PathBuf::from).unwrap_or_default() } else { bin };
        Self { profile, dir: dir.into(), bin }
    }

    /// The text with every variable filled in; `$$` stands for a dollar sign.
    pub(super) fn fill(&self, text: &str) -> Result<String, ProfileError> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            filled.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                filled.push('$');
                rest = after;
            } else if let Some((name, after)) = rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
                filled.push_str(&self.value(name)?);
                rest = after;
            } else {
                filled.push('$');
            }
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn value(&self, name: &str) -> Result<String, ProfileError> {
        let shown = |path: &Path| path.display().to_string();
        match name.split('.').collect::<Vec<_>>().as_slice() {
            ["dir"] => Ok(shown(&self.dir)),
            ["bin"] => Ok(shown(&self.bin)),
            ["target"] => Ok(shown(self.bin.parent().unwrap_or(Path::new("/")))),
            ["reports"] if self.profile.reports.is_some() => {
                // The runner fills in the place before anything is started.
                let bind = self.profile.reports.as_ref().and_then(|reports| reports.bind.clone());
                Ok(bind.unwrap_or_else(|| "ipc://reports.sock".into()))
            }
            ["setting", key] => self.profile.setting(key).map(ToString::to_string),
            ["endpoint", key] => self.profile.endpoint(key).map(|endpoint| endpoint.to_string()),
            ["endpoint", key, "host"] => self.profile.endpoint(key).map(|endpoint| endpoint.ip().to_string()),
            ["endpoint", key, "port"] => self.profile.endpoint(key).map(|endpoint| endpoint.port().to_string()),
            _ => {
                let known = ["dir", "bin", "target", "setting.NAME", "endpoint.NAME"].map(String::from);
                Err(self.profile.missing("template variable", name, known.iter()))
            }
        }
    }
}

/// The first variable of ours in a text, as it stands there.
pub(super) fn variable(text: &str) -> Option<String> {
    let known = |inner: &&str| {
        matches!(*inner, "dir" | "bin" | "target") || inner.starts_with("setting.") || inner.starts_with("endpoint.")
    };
    let inner = text.split("${").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).find(known)?;
    Some(format!("${{{inner}}}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn profile() -> Profile {
        let text = "name = 'n'\nsuite = 's'\n[settings]\nwait = 2.5\n[endpoints]\nweb = '127.0.0.1:80'\n\
                    [[process]]\nname = 'p'\ncommand = ['true']\n";
        Profile::parse(Path::new("test"), text).unwrap()
    }

    #[test]
    fn variables_are_filled_in() {
        let profile = profile();
        let template = Template::new(&profile, Path::new("/run/p"));
        let filled = template.fill("${dir}/c ${setting.wait} ${endpoint.web.host}|${endpoint.web.port} $$ $x").unwrap();
        assert_eq!(filled, "/run/p/c 2.5 127.0.0.1|80 $ $x");
    }

    #[test]
    fn an_unknown_variable_is_named_with_those_there_are() {
        let profile = profile();
        let template = Template::new(&profile, Path::new("/run/p"));
        let error = template.fill("${endpoint.wob}").unwrap_err().to_string();
        assert_eq!(error, "the profile n has no endpoint `wob`; it has: web");
        assert!(template.fill("${nonsense}").unwrap_err().to_string().contains("template variable `nonsense`"));
    }
}
