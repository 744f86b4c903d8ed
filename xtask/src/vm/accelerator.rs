//! Whether KVM works here, found out by a boot: there are machines where `/dev/kvm` opens and no guest comes up.

use std::fs::{self, File};
use std::time::Duration;

use anyhow::Context;

use super::boot::{End, Limits, Output, boot};
use super::qemu::{Accelerator, Machine};
use crate::workspace::Workspace;

/// A guest on KVM takes a second or two.
const LIMITS: Limits = Limits { boot: Duration::from_secs(15), command: Duration::from_secs(15) };

/// KVM where a probe boot of `machine`, whose job does nothing, succeeds; found out once a boot of the host.
pub(super) fn choose(workspace: &Workspace, machine: &Machine<'_>) -> anyhow::Result<Accelerator> {
    if File::options().read(true).write(true).open("/dev/kvm").is_err() {
        return Ok(Accelerator::Tcg);
    }
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let known = workspace.root.join("target/vm/kvm");
    let answer = |works: bool| format!("{} {}\n", boot_id.trim(), if works { "works" } else { "fails" });
    let last = fs::read_to_string(&known).unwrap_or_default();
    let works = if [answer(true), answer(false)].contains(&last) {
        last == answer(true)
    } else {
        let ran = boot(&Machine { accelerator: Accelerator::Kvm, ..*machine }, LIMITS, Output::Drop)?;
        let works = ran.end == End::Code(0);
        eprintln!(
            "vm: a probe boot on KVM {}: {}",
            if works { "succeeds" } else { "fails" },
            match &ran.end {
                End::NoBoot(why) => format!("{why}; TCG translates instead, some 10 to 20 times slower"),
                _ => format!("{:.1} s", ran.total.as_secs_f64()),
            }
        );
        fs::write(&known, answer(works)).with_context(|| known.display().to_string())?;
        works
    };
    Ok(if works { Accelerator::Kvm } else { Accelerator::Tcg })
}
