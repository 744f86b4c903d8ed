//! What this machine can observe and what it lacks, each with the way out.

use rustix::thread::CapabilitySet;
use serde::Serialize;

use crate::observers::ebpf::EbpfObserver;
use crate::observers::scap::ScapObserver;
use crate::observers::sock_diag::SockDiagObserver;
use crate::observers::{ObserverError, ebpf};

/// One thing that an observation may need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub name: String,
    /// Whether it is there.
    pub ok: bool,
    /// In words.
    pub detail: String,
    /// What to do about it when it is missing; none where nothing depends on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way_out: Option<String>,
}

impl Finding {
    fn new(name: impl Into<String>, outcome: Result<String, String>, way_out: &str) -> Self {
        let ok = outcome.is_ok();
        let detail = outcome.unwrap_or_else(|lacks| lacks);
        let way_out = (!ok && !way_out.is_empty()).then(|| way_out.into());
        Self { name: name.into(), ok, detail, way_out }
    }
}

/// Looks at everything; each rung of the ladder is tried for real, which takes a second or less.
pub fn capabilities() -> Vec<Finding> {
    let mut findings = vec![kernel(), user()];
    findings.extend(CAPABILITIES.map(capability));
    findings.push(Finding::new(
        "ebpf object",
        ebpf::object().map(|bytes| format!("built in, {} KiB", bytes / 1024)),
        "run `cargo xtask setup` and build again",
    ));
    findings.push(Finding::new(
        "pid namespace",
        ebpf::pid_namespace().map(|()| "the kernel's first".into()),
        &format!("{}, or use `--observer sock-diag`", ebpf::HOST_PIDS),
    ));
    findings.push(btf());
    findings.push(Finding::new(
        "tracefs",
        ebpf::tracefs().map(|place| place.display().to_string()),
        "as root: mount -t tracefs tracefs /sys/kernel/tracing; without it there are no causes (system calls)",
    ));
    findings.push(jit());
    findings.extend(rungs());
    findings.push(Finding::new(
        SOCK_DIAG,
        SockDiagObserver::probe()
            .map(|listeners| format!("{listeners} listening sockets seen; polled every 1 ms, no connections"))
            .map_err(lacks),
        "as root: modprobe tcp_diag",
    ));
    findings.push(scap());
    findings
}

/// The best observer that works, by its name in the history: `tp_btf`, `raw_tp`, `tracepoint` or `sock_diag`.
pub fn best_rung(findings: &[Finding]) -> Option<&str> {
    let rungs = findings.iter().filter(|finding| finding.ok);
    rungs.filter_map(|finding| finding.name.strip_prefix("observer ")).next()
}

const SOCK_DIAG: &str = "observer sock_diag";
const SCAP: &str = "second witness scap";

/// The name, and what it is for.
const CAPABILITIES: [(CapabilitySet, &str, &str); 3] = [
    (CapabilitySet::BPF, "CAP_BPF", "loading eBPF programs"),
    (CapabilitySet::PERFMON, "CAP_PERFMON", "attaching them to tracepoints"),
    (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN", "setting up a network namespace of the run's own"),
];

fn kernel() -> Finding {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    // The ring buffer came with Linux 5.8.
    let outcome = if version >= (5, 8) { Ok(release) } else { Err(format!("{release} has no eBPF ring buffer")) };
    Finding::new("kernel", outcome, "boot Linux 5.8 or later, or use `--observer sock-diag`")
}

fn user() -> Finding {
    let uid = rustix::process::geteuid();
    let outcome = if uid.is_root() { Ok("root".into()) } else { Err(format!("uid {}, not root", uid.as_raw())) };
    Finding::new("user", outcome, "run as root, or use `--observer sock-diag`")
}

fn capability((capability, name, purpose): (CapabilitySet, &str, &str)) -> Finding {
    let effective = rustix::thread::capabilities(None).map(|sets| sets.effective).unwrap_or(CapabilitySet::empty());
    let outcome = if effective.intersects(capability | CapabilitySet::SYS_ADMIN)
        && capability != CapabilitySet::NET_ADMIN
        || effective.contains(capability)
    {
        Ok(purpose.into())
    } else {
        Err(format!("missing, for {purpose}"))
    };
    Finding::new(name, outcome, "run as root, or use `--observer sock-diag`")
}

fn btf() -> Finding {
    let path = ebpf::btf_path();
    let outcome = std::fs::metadata(&path)
        .map(|file| format!("{}, {} KiB", path.display(), file.len() / 1024))
        .map_err(|error| format!("{}: {error}", path.display()));
    let way_out = "boot a kernel with CONFIG_DEBUG_INFO_BTF; without it the rung tracepoint still works, but cannot tell \
                   network namespaces, and sees no listeners of processes that do not belong to the run";
    Finding::new("kernel BTF", outcome, way_out)
}

fn jit() -> Finding {
    let path = "/proc/sys/net/core/bpf_jit_enable";
    let outcome = match std::fs::read_to_string(path).as_deref().map(str::trim) {
        Ok("0") => Err("off: programs are interpreted, several times slower".into()),
        Ok(value) => Ok(format!("on ({value})")),
        // The setting may be readable by root alone, or fixed at build time.
        Err(error) => Ok(format!("not known ({path}: {error})")),
    };
    Finding::new("eBPF JIT", outcome, "as root: sysctl net.core.bpf_jit_enable=1")
}

fn rungs() -> Vec<Finding> {
    let way_out = "see the findings above; the next rung takes its place";
    match EbpfObserver::probe() {
        Ok(probes) => probes
            .into_iter()
            .map(|probe| {
                let outcome = probe.lacks.map_or_else(|| Ok("loads and attaches".into()), Err);
                Finding::new(format!("observer {}", probe.rung), outcome, way_out)
            })
            .collect(),
        Err(error) => {
            let lacks = lacks(error);
            let none = |rung| Finding::new(format!("observer {rung}"), Err(lacks.clone()), way_out);
            ebpf::Rung::ALL.into_iter().map(none).collect()
        }
    }
}

/// Nothing depends on it but `run --second-witness scap`.
fn scap() -> Finding {
    match ScapObserver::probe() {
        Ok(what) => Finding::new(SCAP, Ok(what), ""),
        Err(ObserverError::Lacking { lacks, way_out, .. }) => Finding::new(SCAP, Err(lacks), &way_out),
        Err(error) => Finding::new(SCAP, Err(error.to_string()), "see the kernel's log: dmesg"),
    }
}

fn lacks(error: ObserverError) -> String {
    match error {
        ObserverError::Lacking { lacks, .. } => lacks,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn whatever_is_lacking_says_so_in_words() {
        for finding in capabilities() {
            assert!(!finding.detail.is_empty(), "{finding:?}");
            assert!(finding.ok || finding.way_out.is_some(), "{finding:?}");
        }
    }

    #[test]
    fn the_first_observer_that_works_is_the_best() {
        let finding = |name: &str, ok| Finding::new(name, if ok { Ok("".into()) } else { Err("".into()) }, "");
        let findings = [finding("kernel", true), finding("observer tp_btf", false), finding("observer raw_tp", true)];
        assert_eq!(best_rung(&findings), Some("raw_tp"));
        assert_eq!(best_rung(&findings[..2]), None);
    }
}
