//! Resident memory, as /proc has it.

use anyhow::Context;

/// Of this process, now, in bytes.
pub(crate) fn resident() -> anyhow::Result<f64> {
    field("VmRSS:")
}

/// The most that this process ever had, in bytes.
pub(crate) fn peak() -> anyhow::Result<f64> {
    field("VmHWM:")
}

fn field(name: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kib.map(|kib| kib * 1024.0).with_context(|| format!("/proc/self/status has no {name}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn memory_that_is_touched_is_resident() {
        let before = resident().unwrap();
        let block = vec![1_u8; 32 << 20];
        let after = resident().unwrap();
        assert!(after - before > 24e6, "{before} {after} {}", block[77]);
        assert!(peak().unwrap() >= after);
    }
}
