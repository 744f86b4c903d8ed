//! Modules of an unpacked kernel, with those that they depend on, in the order in which they are loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use portwitness_kmod::Modinfo;

/// A module as it is loaded.
#[derive(Debug)]
pub(super) struct Module {
    /// With `_` for `-`, as the kernel has it.
    pub(super) name: String,
    /// The object, not compressed.
    pub(super) code: Vec<u8>,
}

/// The modules `wanted`, each after those that it needs; what is built into the kernel is left out.
///
/// # Errors
/// When one is neither a module nor built in.
pub(super) fn with_dependencies(folder: &Path, wanted: &[&str]) -> anyhow::Result<Vec<Module>> {
    let mut all =
        Modules { built_in: BTreeSet::new(), files: BTreeMap::new(), seen: BTreeSet::new(), order: Vec::new() };
    let list = folder.join("modules.builtin");
    let text = fs::read_to_string(&list).with_context(|| list.display().to_string())?;
    all.built_in = text.lines().filter_map(|line| name_of(Path::new(line))).collect();
    all.index(folder)?;
    for name in wanted {
        all.add(name)?;
    }
    Ok(all.order)
}

struct Modules {
    built_in: BTreeSet<String>,
    files: BTreeMap<String, PathBuf>,
    seen: BTreeSet<String>,
    order: Vec<Module>,
}

impl Modules {
    fn index(&mut self, folder: &Path) -> anyhow::Result<()> {
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                self.index(&path)?;
            } else if let Some(name) = name_of(&path) {
                self.files.insert(name, path);
            }
        }
        Ok(())
    }

    fn add(&mut self, name: &str) -> anyhow::Result<()> {
        let name = name.replace('-', "_");
        if self.built_in.contains(&name) || !self.seen.insert(name.clone()) {
            return Ok(());
        }
        let Some(path) = self.files.get(&name) else { bail!("this kernel has no module {name}") };
        let code = read(path)?;
        let info = Modinfo::read(&code).with_context(|| path.display().to_string())?;
        for needed in info.depends() {
            self.add(needed).with_context(|| format!("needed by {name}"))?;
        }
        self.order.push(Module { name, code });
        Ok(())
    }
}

/// `9pnet_virtio` of `.../9pnet_virtio.ko.xz`; nothing for other files.
fn name_of(path: &Path) -> Option<String> {
    let (name, rest) = path.file_name()?.to_str()?.split_once(".ko")?;
    ["", ".xz", ".zst", ".gz"].contains(&rest).then(|| name.replace('-', "_"))
}

/// The file, decompressed: Debian's modules are compressed from Linux 6.12 on.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let program = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(path).with_context(|| path.display().to_string()),
    };
    let mut command = Command::new(program);
    let output = command.args(["--decompress", "--stdout"]).arg(path).output();
    let output = output.with_context(|| format!("cannot start {program}, which {} needs", path.display()))?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modules_name_has_no_dashes_and_no_endings() {
        let name = |path: &str| name_of(Path::new(path));
        assert_eq!(name("kernel/drivers/virtio/virtio-pci.ko.xz").as_deref(), Some("virtio_pci"));
        assert_eq!(name("kernel/fs/9p/9p.ko").as_deref(), Some("9p"));
        assert_eq!(name("modules.builtin"), None);
        assert_eq!(name("x.kodak"), None);
    }
}
