//! The driver's source: as Debian's package lays it out, or as a checkout of falcosecurity/libs has it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::version::{Version, VersionError, Versions};

/// Source of a driver whose versions are known.
#[derive(Debug)]
pub struct Source {
    dir: PathBuf,
    layout: Layout,
    versions: Versions,
}

/// Whether what CMake fills in is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Prepared,
    Checkout,
}

/// A folder that is not the source of a driver.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Neither layout.
    #[error(
        "{} holds no scap driver: name the folder with its main.c (Debian: usr/src/scap-VERSION), or a checkout of \
         falcosecurity/libs", .0.display()
    )]
    NoDriver(PathBuf),
    /// A file that cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file that lacks a version, or has a wrong one.
    #[error("{}: {error}", path.display())]
    Version {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        error: VersionError,
    },
}

impl Source {
    /// Takes `dir`, or the folder `driver` in it.
    pub fn open(dir: &Path) -> Result<Self, SourceError> {
        let dir = if dir.join("main.c").is_file() { dir.to_owned() } else { dir.join("driver") };
        if !dir.join("main.c").is_file() {
            return Err(SourceError::NoDriver(dir.parent().unwrap_or(&dir).to_owned()));
        }
        let (layout, versions) = if dir.join("driver_config.h.in").is_file() {
            let read = |name: &str| {
                let path = dir.join(name);
                read(&path)?.trim().parse::<Version>().map_err(|error| SourceError::Version { path, error })
            };
            (Layout::Checkout, Versions { api: read("API_VERSION")?, schema: read("SCHEMA_VERSION")? })
        } else {
            let path = dir.join("driver_config.h");
            let config = read(&path)?;
            let version =
                |of: &str| defined(&config, of).map_err(|error| SourceError::Version { path: path.clone(), error });
            (Layout::Prepared, Versions { api: version("API")?, schema: version("SCHEMA")? })
        };
        Ok(Self { dir, layout, versions })
    }

    /// The versions that a module of this source has.
    pub fn versions(&self) -> Versions {
        self.versions
    }

    /// Copies what is needed for a build into `to`, which must not exist; a checkout is filled in as CMake would.
    pub fn stage(&self, to: &Path) -> Result<(), SourceError> {
        copy(&self.dir, to)?;
        if self.layout == Layout::Prepared {
            return Ok(());
        }
        for name in ["Makefile", "driver_config.h"] {
            self.fill_in(&to.join(format!("{name}.in")), &to.join(name), "")?;
        }
        let configure = to.join("configure");
        if !configure.is_dir() {
            return Ok(());
        }
        for probe in entries(&configure)?.into_iter().filter(|path| path.is_dir()) {
            for name in ["Makefile", "build.sh"] {
                let (from, to) = (configure.join(name), probe.join(name));
                fs::copy(&from, &to).map_err(|error| SourceError::File { path: from, error })?;
            }
            let name = probe.file_name().unwrap_or_default().to_string_lossy();
            self.fill_in(&configure.join("Makefile.inc.in"), &probe.join("Makefile.inc"), &name)?;
        }
        Ok(())
    }

    fn fill_in(&self, template: &Path, to: &Path, probe: &str) -> Result<(), SourceError> {
        let mut text = read(template)?;
        let Versions { api, schema } = self.versions;
        let (name, version) = ("scap".to_owned(), format!("{api}+driver"));
        let number = |number: u32| number.to_string();
        for (variable, value) in [
            ("PPM_API_CURRENT_VERSION_MAJOR", number(api.major)),
            ("PPM_API_CURRENT_VERSION_MINOR", number(api.minor)),
            ("PPM_API_CURRENT_VERSION_PATCH", number(api.patch)),
            ("PPM_SCHEMA_CURRENT_VERSION_MAJOR", number(schema.major)),
            ("PPM_SCHEMA_CURRENT_VERSION_MINOR", number(schema.minor)),
            ("PPM_SCHEMA_CURRENT_VERSION_PATCH", number(schema.patch)),
            ("DRIVER_VERSION", version),
            ("DRIVER_NAME", name.clone()),
            ("DRIVER_DEVICE_NAME", name),
            ("DRIVER_COMMIT", String::new()),
            ("GIT_COMMIT", String::new()),
            ("KBUILD_FLAGS", String::new()),
            ("CONFIGURE_MODULE", probe.to_owned()),
        ] {
            text = text.replace(&format!("${{{variable}}}"), &value).replace(&format!("@{variable}@"), &value);
        }
        fs::write(to, text).map_err(|error| SourceError::File { path: to.to_owned(), error })
    }
}

/// The version that `driver_config.h` defines in three numbers.
fn defined(config: &str, of: &str) -> Result<Version, VersionError> {
    let number = |part: &str| {
        let name = format!("PPM_{of}_CURRENT_VERSION_{part}");
        let line = config.lines().find_map(|line| line.strip_prefix("#define ")?.trim().strip_prefix(&name));
        line.unwrap_or_default().trim().to_owned()
    };
    format!("{}.{}.{}", number("MAJOR"), number("MINOR"), number("PATCH")).parse()
}

fn copy(from: &Path, to: &Path) -> Result<(), SourceError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| SourceError::File { path, error }
    };
    fs::create_dir_all(to).map_err(failed(to))?;
    for path in entries(from)? {
        let target = to.join(path.file_name().unwrap_or_default());
        // The driver's eBPF programs are no part of the module.
        if path.is_dir() && path.ends_with("configure") || path.is_dir() && !from.join("main.c").exists() {
            copy(&path, &target)?;
        } else if path.is_file() {
            fs::copy(&path, &target).map_err(failed(&path))?;
        }
    }
    Ok(())
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let listed = fs::read_dir(dir).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    listed.map_err(|error| SourceError::File { path: dir.to_owned(), error })
}

fn read(path: &Path) -> Result<String, SourceError> {
    fs::read_to_string(path).map_err(|error| SourceError::File { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const CONFIG: &str = "#define PPM_API_CURRENT_VERSION_MAJOR 8\n#define PPM_API_CURRENT_VERSION_MINOR 0\n\
                          #define PPM_API_CURRENT_VERSION_PATCH 4\n#define PPM_SCHEMA_CURRENT_VERSION_MAJOR 4\n\
                          #define PPM_SCHEMA_CURRENT_VERSION_MINOR 1\n#define PPM_SCHEMA_CURRENT_VERSION_PATCH 0\n";

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn a_prepared_source_is_copied_without_its_ebpf_programs() {
        let dir = tree(&[
            ("main.c", ""),
            ("driver_config.h", CONFIG),
            ("Makefile", "obj-m"),
            ("bpf/probe.c", ""),
            ("configure/A/test.c", "int a;"),
        ]);
        let source = Source::open(dir.path()).unwrap();
        assert_eq!(source.versions().to_string(), "API 8.0.4, schema 4.1.0");
        let staged = dir.path().join("staged");
        source.stage(&staged).unwrap();
        assert!(staged.join("Makefile").is_file() && staged.join("configure/A/test.c").is_file());
        assert!(!staged.join("bpf").exists() && !staged.join("staged").exists());
    }

    #[test]
    fn a_checkout_is_filled_in() {
        let dir = tree(&[
            ("driver/main.c", ""),
            ("driver/API_VERSION", "10.1.0\n"),
            ("driver/SCHEMA_VERSION", "4.9.0\n"),
            ("driver/Makefile.in", "obj-m += @DRIVER_NAME@.o\nccflags-y := @KBUILD_FLAGS@\nTOP := $(shell pwd)\n"),
            ("driver/driver_config.h.in", "#define PPM_API_CURRENT_VERSION_MAJOR ${PPM_API_CURRENT_VERSION_MAJOR}\n"),
            ("driver/configure/Makefile", "all:"),
            ("driver/configure/build.sh", "make"),
            ("driver/configure/Makefile.inc.in", "HAS_@CONFIGURE_MODULE@ := $(PATH)"),
            ("driver/configure/CLASS/test.c", ""),
        ]);
        let source = Source::open(dir.path()).unwrap();
        assert_eq!(source.versions().api.to_string(), "10.1.0");
        let staged = dir.path().join("staged");
        source.stage(&staged).unwrap();
        let text = |name: &str| fs::read_to_string(staged.join(name)).unwrap();
        assert_eq!(text("Makefile"), "obj-m += scap.o\nccflags-y := \nTOP := $(shell pwd)\n");
        assert_eq!(text("driver_config.h"), "#define PPM_API_CURRENT_VERSION_MAJOR 10\n");
        assert_eq!(text("configure/CLASS/Makefile.inc"), "HAS_CLASS := $(PATH)");
        assert_eq!(text("configure/CLASS/build.sh"), "make");
    }

    #[test]
    fn other_folders_are_refused_by_name() {
        let dir = tree(&[("readme", "")]);
        let error = Source::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&dir.path().display().to_string()) && error.contains("main.c"), "{error}");
        let broken = tree(&[("main.c", ""), ("driver_config.h", "#define PPM_API_CURRENT_VERSION_MAJOR x\n")]);
        let error = Source::open(broken.path()).unwrap_err().to_string();
        assert!(error.contains("driver_config.h: `x..` is not a version"), "{error}");
    }
}
