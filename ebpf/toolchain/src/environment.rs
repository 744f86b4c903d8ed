//! What a cargo inside a cargo must not inherit.

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

/// Variables of cargo's own that stay: where its files lie, how it reaches the network, how it prints, the job server.
const KEPT: [&str; 8] = [
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_MAKEFLAGS",
    "CARGO_NET_",
    "CARGO_REGISTR",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
    "CARGO_LOG",
];

/// Variables outside the `CARGO` family that an outer build sets, or that choose another compiler or other flags.
const FORGOTTEN: [&str; 5] = ["RUSTFLAGS", "RUSTDOCFLAGS", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH", "CLIPPY_ARGS"];

/// Takes from `command` what an outer cargo, rustup or clippy set for its own build: compilers, wrappers, flags, profiles,
/// target folders, library paths. The user's registry and network settings stay.
pub fn forget_outer_cargo(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if is_forgotten(&name) {
            command.env_remove(name);
        }
    }
}

fn is_forgotten(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let cargo = name.starts_with("CARGO") && !KEPT.iter().any(|kept| name.starts_with(kept));
    cargo || name.starts_with("RUSTC") || FORGOTTEN.contains(&name)
}

/// First executable of that name in `PATH`.
pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// The user's home.
pub(crate) fn home() -> Option<PathBuf> {
    env::var_os("HOME").map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_outer_build_go_and_those_of_the_user_stay() {
        for name in [
            "CARGO",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "CARGO_PROFILE_RELEASE_LTO",
            "RUSTC",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
            "LD_LIBRARY_PATH",
        ] {
            assert!(is_forgotten(OsStr::new(name)), "{name} must go");
        }
        for name in ["CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_REGISTRIES_MINE_INDEX", "RUSTUP_HOME", "PATH", "HOME"] {
            assert!(!is_forgotten(OsStr::new(name)), "{name} must stay");
        }
    }
}
