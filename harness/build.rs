//! Builds the eBPF object and puts it where the ebpf observer embeds it, or an empty file and the reason when it cannot.
//!
//! For the crate: `OUT_DIR/portwitness.bpf.o`, and the environment variable `PORTWITNESS_EBPF_MISSING` at compile time: empty,
//! or one line that says why the object is empty. With `PORTWITNESS_NO_EBPF=1` the object is left out on purpose.

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{env, io};

use portwitness_toolchain::{Job, Toolchain, stamp_file};

/// What the object is built from, relative to the workspace.
const SOURCES: [&str; 5] = ["ebpf/src", "ebpf/Cargo.toml", "ebpf/common/src", "ebpf/common/Cargo.toml", "Cargo.lock"];

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let workspace = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("..").canonicalize()?;
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=PORTWITNESS_NO_EBPF");
    for source in SOURCES {
        println!("cargo:rerun-if-changed={}", workspace.join(source).display());
    }

    let object = out.join("portwitness.bpf.o");
    let missing = match build(&workspace, &out) {
        Ok(built) => {
            fs::copy(built, &object)?;
            String::new()
        }
        Err(reason) => {
            File::create(&object)?;
            let line = reason.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            println!("cargo:warning=built without the eBPF object: {line}");
            line
        }
    };
    println!("cargo:rustc-env=PORTWITNESS_EBPF_MISSING={missing}");
    Ok(())
}

fn build(workspace: &Path, out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    if env::var_os("PORTWITNESS_NO_EBPF").is_some_and(|value| !value.is_empty() && value != "0") {
        return Err("PORTWITNESS_NO_EBPF is set".into());
    }
    watch_toolchain(workspace)?;
    let toolchain = Toolchain::find(workspace)?;
    for part in [&toolchain.compiler.rustc, &toolchain.linker.path] {
        println!("cargo:rerun-if-changed={}", part.display());
    }
    let job = Job {
        workspace: workspace.to_owned(),
        log: out.join("ebpf.log"),
        arch: env::var("CARGO_CFG_TARGET_ARCH")?,
        flags: Vec::new(),
    };
    toolchain.build(&job).map_err(|error| {
        // The cause may lie outside of the sources (no network, a full disk): cargo runs a build script again whose watched
        // file does not exist.
        println!("cargo:rerun-if-changed={}", out.join("try-again").display());
        error.into()
    })
}

/// Watches the file that `cargo xtask setup` rewrites when it finds another toolchain. It is made when absent, because cargo
/// takes a missing file for a changed one, and dated back, because this script's own writing is no news.
fn watch_toolchain(workspace: &Path) -> io::Result<()> {
    let stamp = stamp_file(workspace);
    if !stamp.exists() {
        fs::create_dir_all(stamp.parent().unwrap_or(workspace))?;
        File::create(&stamp)?.set_modified(SystemTime::UNIX_EPOCH)?;
    }
    println!("cargo:rerun-if-changed={}", stamp.display());
    Ok(())
}
