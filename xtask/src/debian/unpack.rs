//! Archives of packages, unpacked into a folder without installing anything.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// What is left out: nobody reads it, or (a kernel's `vmlinux` among its headers) it makes kbuild ask for pahole.
const LEFT_OUT: [&str; 4] = ["./usr/share/doc", "./usr/share/man", "./usr/share/locale", "./usr/src/*/vmlinux"];

/// A folder that is made whole or not at all.
#[derive(Debug)]
pub(crate) struct Unpack {
    target: PathBuf,
    unfinished: PathBuf,
}

impl Unpack {
    /// Begins a folder that will be `target`, with the links of a merged `/usr`.
    pub(crate) fn into(target: &Path) -> anyhow::Result<Self> {
        let unfinished = target.with_extension(format!("unfinished-{}", std::process::id()));
        for name in ["bin", "sbin", "lib", "lib64"] {
            fs::create_dir_all(unfinished.join("usr").join(name)).with_context(|| unfinished.display().to_string())?;
            let link = unfinished.join(name);
            if !link.is_symlink() {
                symlink(Path::new("usr").join(name), &link).with_context(|| link.display().to_string())?;
            }
        }
        Ok(Self { target: target.to_owned(), unfinished })
    }

    /// Where the files lie until [`Self::finish`].
    pub(crate) fn dir(&self) -> &Path {
        &self.unfinished
    }

    /// Adds the files of these archives, and deletes the archives and their folder.
    pub(crate) fn add(&self, archives: &[PathBuf]) -> anyhow::Result<()> {
        for archive in archives {
            let name = || archive.display().to_string();
            let mut dpkg = Command::new("dpkg-deb");
            let mut reader =
                dpkg.arg("--fsys-tarfile").arg(archive).stdout(Stdio::piped()).spawn().with_context(name)?;
            let mut tar = Command::new("tar");
            // Keeps `/lib -> usr/lib`, into which packages of older releases put folders.
            tar.args(["--extract", "--keep-directory-symlink", "--no-same-owner", "--directory"]).arg(&self.unfinished);
            tar.args(LEFT_OUT.map(|pattern| format!("--exclude={pattern}")));
            let written = tar.stdin(reader.stdout.take().with_context(name)?).status().with_context(name)?;
            let read = reader.wait().with_context(name)?;
            ensure!(read.success() && written.success(), "cannot unpack {} (is the disk full?)", archive.display());
        }
        if let Some(folder) = archives.first().and_then(|archive| archive.parent()) {
            fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        Ok(())
    }

    /// Gives the folder its name; one that is there already, by another process, is as good.
    pub(crate) fn finish(self) -> anyhow::Result<PathBuf> {
        if let Err(error) = fs::rename(&self.unfinished, &self.target) {
            ensure!(self.target.is_dir(), "{}: {error}", self.target.display());
            fs::remove_dir_all(&self.unfinished).with_context(|| self.unfinished.display().to_string())?;
        }
        Ok(self.target)
    }
}
