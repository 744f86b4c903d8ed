//! Wrong command lines, profiles and histories: each gets one clear message that names the thing and the way out, and the
//! documented exit code. The messages stand in `snapshots`; `INSTA_UPDATE=always` writes them anew, to be read again.

mod command_lines;
mod histories;
mod machines;
mod profiles;

use std::os::unix::process::CommandExt;
use std::path::Path;

use crate::support::suites;

/// Files in a folder, and a command line that is told what it says.
struct Table {
    folder: tempfile::TempDir,
    said: String,
}

/// What is special about a command.
#[derive(Clone, Copy, Default)]
struct Setting<'a> {
    /// Run as `nobody`.
    unprivileged: bool,
    env: Option<(&'a str, &'a str)>,
}

impl Table {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Whoever runs the program must get there.
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), readable).unwrap();
        Self { folder, said: String::new() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts a file into the folder.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(name), content).unwrap();
    }

    /// Runs `suites` with these arguments in the folder, and notes what it says and how it ends.
    fn row(&mut self, what: &str, arguments: &[&str]) {
        self.row_with(what, arguments, Setting::default());
    }

    fn row_with(&mut self, what: &str, arguments: &[&str], setting: Setting<'_>) {
        let mut command = suites(arguments);
        command.current_dir(self.path()).env_remove("PORTWITNESS_BTF").env("COLUMNS", "110");
        if let Some((key, value)) = setting.env {
            command.env(key, value);
        }
        if setting.unprivileged {
            command.uid(65534).gid(65534);
        }
        let output = command.output().unwrap();
        let code = output.status.code().map_or("by a signal".into(), |code| code.to_string());
        let stderr = self.plain(&String::from_utf8_lossy(&output.stderr));
        let before = setting.env.map(|(key, value)| format!("{key}={value} ")).unwrap_or_default();
        let shown: Vec<_> = arguments
            .iter()
            .map(|word| if word.contains(' ') { format!("'{word}'") } else { (*word).into() })
            .collect();
        self.said += &format!("## {what}\n$ {before}suites {}\n{stderr}exit {code}\n\n", shown.join(" "));
    }

    /// Without what differs from run to run: places, process numbers, versions.
    fn plain(&self, text: &str) -> String {
        let folder = self.path().to_str().unwrap();
        let target = Path::new(env!("CARGO_BIN_EXE_suites")).parent().unwrap().to_str().unwrap();
        let own_name = std::fs::read_to_string("/proc/self/comm").unwrap();
        let text = text.replace(folder, "FOLDER").replace(target, "TARGET").replace(own_name.trim_end(), "TEST");
        // A run that got as far as to a report tells at its end why it broke off.
        let text = text.find("\nnote: ").map_or(text.as_str(), |note| &text[note + 1..]);
        let text: String =
            text.lines().filter(|line| !line.starts_with("report: ")).map(|line| line.to_owned() + "\n").collect();
        let mut plain = String::new();
        let mut rest = text.as_str();
        // `comm[123]`
        while let Some((before, after)) = rest.split_once('[') {
            plain += before;
            plain.push('[');
            let digits = after.bytes().take_while(u8::is_ascii_digit).count();
            let is_pid =
                digits > 0 && after[digits..].starts_with(']') && before.ends_with(|c: char| c.is_ascii_alphanumeric());
            if is_pid {
                plain += "PID";
            }
            rest = if is_pid { &after[digits..] } else { after };
        }
        plain += rest;
        plain
    }

    /// Compares all rows with what was reviewed.
    fn check(self, name: &str) {
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, self.said);
        });
    }
}
