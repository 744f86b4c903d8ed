//! bpf-linker, built from source into the project's own folder.

use std::fs;

use anyhow::Context;
use portwitness_toolchain::{Compiler, LINKER_VERSION, Linker, NoLinker, tools_dir};

use super::logged;
use super::progress::Progress;
use crate::workspace::Workspace;

/// Builds bpf-linker with `compiler`, which is recent enough for it whatever the user's own is.
pub(super) fn install(
    workspace: &Workspace,
    compiler: &Compiler,
    missing: &NoLinker,
    progress: &Progress,
) -> anyhow::Result<Linker> {
    let tools = tools_dir(&workspace.root);
    // Kept when the build is interrupted, so that the next one goes on from there.
    let build = workspace.setup_dir().join("bpf-linker");
    let what = format!("bpf-linker {LINKER_VERSION} into {} (a minute or two): {missing}", workspace.shown(&tools));
    progress.installing(&what, || {
        let mut cargo = compiler.cargo();
        cargo.args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--force", "--root"]).arg(&tools);
        cargo.arg("--target-dir").arg(&build).current_dir(&workspace.root);
        logged::run(&mut cargo, &workspace.setup_dir().join("bpf-linker.log")).context("cannot install bpf-linker")?;
        fs::remove_dir_all(&build).with_context(|| build.display().to_string())?;
        Linker::find(&tools).context("bpf-linker was installed and does not work")
    })
}
