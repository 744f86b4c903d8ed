//! Kernels of Debian, fetched and unpacked once.

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::listing::{Series, series_of};
use super::unpack::Unpack;
use super::{Apt, RELEASES, Release, remembered};
use crate::workspace::Workspace;

/// An unpacked kernel with its modules.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// Its release, as `uname -r` tells it.
    pub(crate) release: String,
    /// Where its headers and its compiler come from.
    pub(crate) debian: &'static Release,
    root: PathBuf,
}

impl Kernel {
    /// Fetches the latest kernel of `series`, unless it is there.
    ///
    /// # Errors
    /// When no release has one; without network for what is not there yet.
    pub(crate) fn fetch(workspace: &Workspace, series: Series) -> anyhow::Result<Self> {
        let answer = remembered(workspace, &format!("linux-{series}"), || {
            let (debian, version) = find(workspace, series)?;
            let depends = Apt::of(workspace, debian)?.depends(META, &version)?;
            let image = depends.iter().find_map(|name| name.strip_prefix("linux-image-"));
            let image = image.with_context(|| format!("{META} {version} names no image"))?;
            Ok(format!("{} {version} {image}", debian.name))
        })?;
        let mut words = answer.split(' ');
        let (Some(debian), Some(version), Some(release)) = (words.next(), words.next(), words.next()) else {
            bail!("target/debian/answers/linux-{series} holds `{answer}`: delete it");
        };
        let (debian, release) = (super::release(debian)?, release.to_owned());
        let root = workspace.root.join("target/debian/kernels").join(&release);
        if !root.is_dir() {
            eprintln!("debian: fetching Linux {release} from {}", debian.name);
            let apt = Apt::of(workspace, debian)?;
            let image = format!("linux-image-{release}");
            // From 7 on the image is split: the rest are packages that carry the same release in their names.
            let mut packages = vec![image.clone()];
            packages.extend(apt.depends(&image, version)?.into_iter().filter(|name| name.contains(&release)));
            let unpack = Unpack::into(&root)?;
            unpack.add(&apt.download(&packages)?)?;
            unpack.finish()?;
        }
        Ok(Self { release, debian, root })
    }

    /// The kernel itself, compressed.
    pub(crate) fn image(&self) -> anyhow::Result<PathBuf> {
        let places = [self.root.join("boot").join(format!("vmlinuz-{}", self.release)), self.modules().join("vmlinuz")];
        let found = places.into_iter().find(|place| place.exists());
        found.with_context(|| format!("no vmlinuz in {}; delete that folder and try again", self.root.display()))
    }

    /// The folder with its modules.
    pub(crate) fn modules(&self) -> PathBuf {
        self.root.join("usr/lib/modules").join(&self.release)
    }
}

/// The package that depends on the latest kernel of a suite.
const META: &str = "linux-image-amd64";

/// The first release that has a kernel of `series`, and the version of [`META`] that leads to it.
fn find(workspace: &Workspace, series: Series) -> anyhow::Result<(&'static Release, String)> {
    let mut best: Option<(&'static Release, String)> = None;
    for release in &RELEASES {
        for version in Apt::of(workspace, release)?.versions(META)? {
            let higher = || best.as_ref().is_none_or(|(_, highest)| series_of(&version) > series_of(highest));
            match series {
                // The first that has one is enough: the lists of newer releases are not even fetched.
                Series::Numbered(major, minor) if series_of(&version) == Some((major, minor)) => {
                    return Ok((release, version));
                }
                Series::Newest if higher() => best = Some((release, version)),
                Series::Numbered(..) | Series::Newest => {}
            }
        }
    }
    best.with_context(|| format!("no Debian release has a kernel {series}: try one of 5.10, 6.1, 6.12, newest"))
}
