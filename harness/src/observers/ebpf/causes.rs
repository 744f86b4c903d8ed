//! Attaches the programs that record system calls, and switches them.

use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::programs::trace_point::TracePointLink;
use aya::programs::{ProgramError, TracePoint};
use portwitness_ebpf_common::{Call, SETTING_CAUSES};

use super::load::{Loaded, causes, program};
use crate::observers::ObserverError;

/// The causes of what sockets do: attached when first asked for, then only switched, because detaching takes long.
pub(super) struct Causes {
    tracefs: Result<PathBuf, String>,
    attached: bool,
    links: Vec<TracePointLink>,
}

impl Causes {
    /// Attaches nothing yet.
    pub(super) fn new(tracefs: Result<PathBuf, String>) -> Self {
        Self { tracefs, attached: false, links: Vec::new() }
    }

    /// Switches the recording of system calls; returns what cannot be recorded here, in words, the first time.
    pub(super) fn switch(&mut self, on: bool, loaded: &mut Loaded) -> Result<Vec<String>, ObserverError> {
        let warnings = if on && !self.attached { self.attach(&mut loaded.ebpf) } else { Vec::new() };
        self.attached |= on;
        loaded.set(SETTING_CAUSES, on.into())?;
        Ok(warnings)
    }

    fn attach(&mut self, ebpf: &mut Ebpf) -> Vec<String> {
        let links = &mut self.links;
        match &self.tracefs {
            Ok(tracefs) => {
                Call::ALL.into_iter().filter_map(|call| attach(ebpf, tracefs, call.name(), links).err()).collect()
            }
            Err(why) => vec![format!("system calls are not recorded: {why}")],
        }
    }
}

impl Drop for Causes {
    /// Detaches in the background. The kernel waits for a grace period at each of the twenty tracepoints, together about a
    /// second (kernel/trace/trace_event_perf.c, perf_trace_event_unreg, Linux 6.18), and nobody needs to wait with it: a
    /// process that ends meanwhile detaches what is left.
    fn drop(&mut self) {
        let links = std::mem::take(&mut self.links);
        // Where there are no more threads, they are dropped here.
        let _ = std::thread::Builder::new().name("ebpf-detach".into()).spawn(move || drop(links));
    }
}

fn attach(ebpf: &mut Ebpf, tracefs: &Path, call: &str, links: &mut Vec<TracePointLink>) -> Result<(), String> {
    // dup2, for one, is missing on architectures that have only dup3.
    if !tracefs.join("events/syscalls").join(format!("sys_enter_{call}")).exists() {
        return Err(format!("{call} is not recorded: this kernel has no tracepoint for it"));
    }
    let mut attach_to =
        |program: &str, tracepoint: &str| attach_to(ebpf, program, tracepoint).map(|link| links.push(link));
    let attached = attach_to("exit_call", &format!("sys_exit_{call}"))
        .and_then(|()| attach_to(&format!("enter_{call}"), &format!("sys_enter_{call}")));
    attached.map_err(|error| format!("{call} is not recorded: {}", causes(&error)))
}

fn attach_to(ebpf: &mut Ebpf, name: &str, tracepoint: &str) -> Result<TracePointLink, ProgramError> {
    let program: &mut TracePoint = program(ebpf, name)?;
    match program.load() {
        // One program stands at the exits of all calls.
        Ok(()) | Err(ProgramError::AlreadyLoaded) => {}
        Err(error) => return Err(error),
    }
    let link = program.attach("syscalls", tracepoint)?;
    program.take_link(link)
}
