//! Attaches the programs that record system calls, and switches them.

use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::programs::{ProgramError, TracePoint};
use portwitness_ebpf_common::{Call, SETTING_CAUSES};

use super::load::{Loaded, causes, program};
use crate::observers::ObserverError;

/// The causes of what sockets do: attached when first asked for, then only switched, because detaching takes long.
pub(super) struct Causes {
    tracefs: Result<PathBuf, String>,
    attached: bool,
}

impl Causes {
    /// Attaches nothing yet.
    pub(super) fn new(tracefs: Result<PathBuf, String>) -> Self {
        Self { tracefs, attached: false }
    }

    /// Switches the recording of system calls; returns what cannot be recorded here, in words, the first time.
    pub(super) fn switch(&mut self, on: bool, loaded: &mut Loaded) -> Result<Vec<String>, ObserverError> {
        let warnings = if on && !self.attached { self.attach(&mut loaded.ebpf) } else { Vec::new() };
        self.attached |= on;
        loaded.set(SETTING_CAUSES, on.into())?;
        Ok(warnings)
    }

    fn attach(&self, ebpf: &mut Ebpf) -> Vec<String> {
        match &self.tracefs {
            Ok(tracefs) => Call::ALL.into_iter().filter_map(|call| attach(ebpf, tracefs, call.name()).err()).collect(),
            Err(why) => vec![format!("system calls are not recorded: {why}")],
        }
    }
}

fn attach(ebpf: &mut Ebpf, tracefs: &Path, call: &str) -> Result<(), String> {
    // dup2, for one, is missing on architectures that have only dup3.
    if !tracefs.join("events/syscalls").join(format!("sys_enter_{call}")).exists() {
        return Err(format!("{call} is not recorded: this kernel has no tracepoint for it"));
    }
    let attached = attach_to(ebpf, "exit_call", &format!("sys_exit_{call}"))
        .and_then(|()| attach_to(ebpf, &format!("enter_{call}"), &format!("sys_enter_{call}")));
    attached.map_err(|error| format!("{call} is not recorded: {}", causes(&error)))
}

fn attach_to(ebpf: &mut Ebpf, name: &str, tracepoint: &str) -> Result<(), ProgramError> {
    let program: &mut TracePoint = program(ebpf, name)?;
    match program.load() {
        // One program stands at the exits of all calls.
        Ok(()) | Err(ProgramError::AlreadyLoaded) => {}
        Err(error) => return Err(error),
    }
    program.attach("syscalls", tracepoint)?;
    Ok(())
}
