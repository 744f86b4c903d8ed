//! `cargo xtask kmod`: builds, loads and unloads the scap module, and says how it stands.

mod driver;
mod events;
mod example;
mod launcher;
mod library;
mod module;
mod sysdig;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, anyhow, bail, ensure};
use portwitness_kmod::{Build, BuildError, Headers, Scap, Status, Versions};

use crate::debian::{Kernel, Series, series_of};
use crate::setup;
use crate::workspace::Workspace;

pub(crate) use driver::Driver;
pub(crate) use events::program as events_for;
pub(crate) use module::module_for;

const USAGE: &str = "usage: cargo xtask kmod <command>

  build [options]     build scap.ko and print its path
  load [options]      build it for the running kernel, and load it; with --module FILE, load that one
  unload              unload it, if it was loaded by `load`
  status              whether it is loaded, by whom, and its versions
  events [options]    build sinsp-events, which prints what libsinsp makes of the module's events as JSON, and print its path
  example [options]   build sinsp-example, the example program of falcosecurity/libs, and print its path
  sysdig [options]    fetch sysdig, which prints as JSON with -j, and print its path

  --kernel SERIES     (build, events, example, sysdig) for a kernel of Debian: 5.10, 6.1, 6.12, ... or newest (default: the running one)
  --headers DIR       (build) for these headers, installed or unpacked
  --scap-src DIR      from this driver: a folder with its main.c, or a checkout of falcosecurity/libs; (example) from that
                      checkout instead of the source of Debian's package
  --driver RELEASE    from the driver, or with the libsinsp, of this Debian release (default: bookworm up to Linux 6.3, then sid)";

/// What the module is built for and from.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    kernel: Option<Series>,
    headers: Option<PathBuf>,
    driver: Option<Driver>,
    module: Option<PathBuf>,
}

/// Runs `<command> [options]`.
pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> anyhow::Result<ExitCode> {
    let words: Option<Vec<&str>> = args.iter().map(|arg| arg.to_str()).collect();
    if words.iter().flatten().any(|word| matches!(*word, "-h" | "--help")) {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let (command, options) = match words.as_deref().and_then(<[&str]>::split_first) {
        Some((command, rest)) => match parse(rest) {
            Ok(options) => (*command, options),
            Err(error) => return Ok(crate::usage(&format!("{error:#}\n\n{USAGE}"))),
        },
        None => return Ok(crate::usage(USAGE)),
    };
    let nothing = options == Options::default();
    match command {
        "build" if options.module.is_none() => println!("{}", build(workspace, &options)?.display()),
        "load" if options.kernel.is_none() && options.headers.is_none() => load(workspace, options)?,
        "events" if options.module.is_none() && options.headers.is_none() => {
            println!("{}", events(workspace, &options)?.display());
        }
        "example" if options.module.is_none() && options.headers.is_none() => {
            println!("{}", example(workspace, &options)?.display());
        }
        "sysdig" if options.module.is_none() && options.headers.is_none() => {
            println!("{}", sysdig::program(workspace, library(workspace, &options)?)?.display());
        }
        "unload" if nothing => {
            let unloaded = Scap::default().unload()?;
            eprintln!("kmod: scap {}", if unloaded { "is unloaded" } else { "was not loaded" });
        }
        "status" if nothing => println!("{}", told(&Scap::default().status())),
        "help" => println!("{USAGE}"),
        _ => return Ok(crate::usage(USAGE)),
    }
    Ok(ExitCode::SUCCESS)
}

fn parse(args: &[&str]) -> anyhow::Result<Options> {
    let mut options = Options::default();
    for pair in args.chunks(2) {
        let [option, value] = pair else { bail!("{} wants a value", pair[0]) };
        match *option {
            "--kernel" => options.kernel = Some(value.parse()?),
            "--headers" => options.headers = Some(value.into()),
            "--module" => options.module = Some(value.into()),
            "--scap-src" | "--driver" => options.driver = Some(Driver::of_option(option, value)?),
            _ => bail!("there is no option {option}"),
        }
    }
    ensure!(options.kernel.is_none() || options.headers.is_none(), "either --kernel or --headers, not both");
    Ok(options)
}

fn build(workspace: &Workspace, options: &Options) -> anyhow::Result<PathBuf> {
    let driver = options.driver.clone().unwrap_or(Driver::Fitting);
    if let Some(series) = options.kernel {
        return module_for(workspace, &Kernel::fetch(workspace, series)?, &driver);
    }
    let headers = match &options.headers {
        Some(dir) => Headers::here(&dir.canonicalize().with_context(|| dir.display().to_string())?)?,
        None => Headers::here(Path::new(&format!("/lib/modules/{}/build", running()?))).map_err(|error| {
            anyhow!("{error}; for another kernel, say --kernel 6.1 or --headers DIR; for a kernel that takes it: cargo xtask vm")
        })?,
    };
    let _alone = workspace.lock("kmod-build")?;
    setup::packages(workspace, &[("/usr/bin/make", "make", "builds kernel modules")])?;
    let release = release_of(&headers)?;
    let series = series_of(&release).with_context(|| format!("`{release}` is no kernel's release"))?;
    let (source, label) = driver.source(workspace, series)?;
    let place = workspace.root.join("target/kmod/modules").join(&release);
    // Beside what Debian's own compiler builds.
    let place = place.join(format!("{}-here", label.as_deref().unwrap_or("folder")));
    eprintln!("kmod: building scap ({}) for Linux {release}", source.versions());
    let work = workspace.root.join("target/kmod/work").join(&release);
    let built = Build { source: &source, headers: &headers, work: &work }.run().map_err(with_way_out)?;
    module::put(&built, &place.join("scap.ko"))?;
    Ok(place.join("scap.ko"))
}

fn events(workspace: &Workspace, options: &Options) -> anyhow::Result<PathBuf> {
    if let Some(Driver::Folder(_)) = options.driver {
        bail!("libsinsp comes from Debian: say --driver bookworm, trixie or sid");
    }
    events_for(workspace, library(workspace, options)?)
}

fn example(workspace: &Workspace, options: &Options) -> anyhow::Result<PathBuf> {
    let checkout = match &options.driver {
        Some(Driver::Folder(folder)) => Some(folder.as_path()),
        _ => None,
    };
    example::program(workspace, library(workspace, options)?, checkout)
}

/// The Debian release whose libsinsp is meant.
fn library(workspace: &Workspace, options: &Options) -> anyhow::Result<&'static str> {
    let driver = options.driver.as_ref().unwrap_or(&Driver::Fitting);
    if let Driver::Debian(name) = driver {
        return Ok(name);
    }
    let release = match options.kernel {
        Some(series) => Kernel::fetch(workspace, series)?.release,
        None => running()?,
    };
    Ok(driver.library(&release))
}

/// A driver that does not build has other drivers and other compilers as ways out.
fn with_way_out(error: BuildError) -> anyhow::Error {
    let Some(way_out) = way_out(&error) else { return error.into() };
    anyhow!("{error}  {way_out}")
}

fn way_out(error: &BuildError) -> Option<&'static str> {
    match error {
        BuildError::Make { missing_compiler: Some(_), .. } => {
            Some("or say --kernel SERIES for a kernel of Debian: headers and compiler are fetched for it")
        }
        BuildError::Make { .. } => {
            Some("another driver may build: --driver RELEASE (bookworm, trixie, sid), or --scap-src DIR for a checkout")
        }
        _ => None,
    }
}

/// The program that a profile of the suite sinsp runs, on the libsinsp of this Debian release ([`Driver::library`]).
pub(crate) fn program_for(workspace: &Workspace, sut: &str, debian: &str) -> anyhow::Result<PathBuf> {
    match sut {
        "sysdig" => sysdig::program(workspace, debian),
        "sinsp-example" => example::program(workspace, debian, None),
        _ => events_for(workspace, debian),
    }
}

fn load(workspace: &Workspace, options: Options) -> anyhow::Result<()> {
    let scap = Scap::default();
    // Before the build: one that is there already is not touched, so nothing needs to be built.
    scap.free()?;
    let module = match options.module {
        Some(module) => module,
        None => build(workspace, &options)?,
    };
    let versions = scap.load(&module)?;
    eprintln!("kmod: scap is loaded: {versions}");
    Ok(())
}

fn told(status: &Status) -> String {
    let Status::Loaded { ours, version, versions, users } = status else { return "scap: not loaded".to_owned() };
    let by = if *ours { "by `cargo xtask kmod load`" } else { "by somebody else, so it stays as it is" };
    let versions = match versions {
        Ok(versions) if versions.is_known() => versions.to_string(),
        Ok(versions) => format!("{versions}, which is not known; known are {}", Versions::known()),
        Err(error) => format!("its versions are not known ({error})"),
    };
    format!("scap: {version} is loaded {by}; {versions}; {users} users")
}

/// The release that headers on this system are for.
fn release_of(headers: &Headers) -> anyhow::Result<String> {
    let Headers::Here(dir) = headers else { bail!("headers in a root are built for by --kernel") };
    // As it will stand in the module; include/config/kernel.release lacks Debian's part of it.
    let file = dir.join("include/generated/utsrelease.h");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let defined = text.lines().find_map(|line| line.strip_prefix("#define UTS_RELEASE \""));
    let release = defined.and_then(|rest| rest.strip_suffix('"'));
    release.map(str::to_owned).with_context(|| format!("{} defines no UTS_RELEASE", file.display()))
}

fn running() -> anyhow::Result<String> {
    let output = Command::new("uname").arg("-r").output().context("cannot start uname")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use portwitness_kmod::Version;

    use super::*;

    #[test]
    fn options_are_pairs_of_a_known_name_and_a_value() {
        let options = parse(&["--kernel", "6.1", "--driver", "sid"]).unwrap();
        assert_eq!((options.kernel, options.driver), (Some(Series::Numbered(6, 1)), Some(Driver::Debian("sid"))));
        for (wrong, word) in [
            (vec!["--kernel"], "wants a value"),
            (vec!["--colour", "red"], "--colour"),
            (vec!["--driver", "buzz"], "`buzz`"),
            (vec!["--kernel", "6.1", "--headers", "/x"], "not both"),
        ] {
            let error = parse(&wrong).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn the_release_of_headers_is_the_modules() {
        let dir = std::env::temp_dir().join(format!("xtask-headers-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("include/generated")).unwrap();
        std::fs::write(dir.join("include/generated/utsrelease.h"), "#define UTS_RELEASE \"6.1.0-56-amd64\"\n").unwrap();
        let release = release_of(&Headers::Here(dir.clone())).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(release, "6.1.0-56-amd64");
    }

    #[test]
    fn status_says_whose_the_module_is() {
        let version = Version { major: 8, minor: 0, patch: 4 };
        let loaded = |ours, versions| Status::Loaded { ours, version: "0.23.2".to_owned(), versions, users: 1 };
        let schema = Version { major: 4, minor: 1, patch: 0 };
        let known = Ok(Versions { api: version, schema });
        assert!(
            told(&loaded(true, known.clone())).contains("by `cargo xtask kmod load`; API 8.0.4, schema 4.1.0; 1 users")
        );
        assert!(told(&loaded(false, known)).contains("somebody else"));
        let future = Ok(Versions { api: Version { major: 99, ..version }, schema });
        assert!(
            told(&loaded(false, future)).contains("API 99.0.4, schema 4.1.0, which is not known; known are API 1 ")
        );
        assert!(told(&loaded(false, Err("no device".to_owned()))).contains("no device"));
    }
}
