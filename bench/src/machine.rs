//! What the figures were measured on.

use std::fs;

use aya::programs::{ProgramInfo, loaded_programs};
use jiff::Zoned;
use serde::Serialize;

/// BPF_PROG_TYPE_TRACEPOINT, _RAW_TRACEPOINT and _TRACING (include/uapi/linux/bpf.h).
const TRACING: [u32; 3] = [5, 17, 26];

/// The machine, at the moment that this was asked for.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// Release and architecture.
    pub(crate) kernel: String,
    /// The CPU's name, and the hypervisor's mark where there is one.
    pub(crate) cpu: String,
    /// CPUs that are online.
    pub(crate) cores: usize,
    /// Of the machine, in MiB.
    pub(crate) memory_mib: u64,
    /// Date and time.
    pub(crate) at: String,
}

impl Machine {
    /// Looks.
    pub(crate) fn look() -> Self {
        let uname = rustix::system::uname();
        let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let value = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(name));
            line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned())).unwrap_or_default()
        };
        let is_virtual = value("flags").split(' ').any(|flag| flag == "hypervisor");
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib = meminfo.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
        Self {
            kernel: format!("{} {} {}", text(uname.sysname()), text(uname.release()), text(uname.machine())),
            cpu: format!("{}{}", value("model name"), if is_virtual { ", in a virtual machine" } else { "" }),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: kib / 1024,
            at: Zoned::now().strftime("%Y-%m-%d %H:%M").to_string(),
        }
    }
}

/// eBPF programs that are attached to tracepoints: when no benchmark is running, those of others. System calls that these
/// watch are slow for everybody, whoever else watches.
pub(crate) fn tracing_programs() -> usize {
    let is_tracing = |program: &ProgramInfo| TRACING.contains(&(program.program_type() as u32));
    loaded_programs().filter_map(Result::ok).filter(is_tracing).count()
}

/// The load averages over 1, 5 and 15 minutes: processes that run or wait for a CPU.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
