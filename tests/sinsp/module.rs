//! What the scap module shows of itself and of its readers, at one moment.

use std::fs;
use std::path::Path;

use portwitness::history::ModuleState;

/// Looks; `program` is the one that captures, as its command line shows it.
pub(crate) fn state(moment: &str, program: &str) -> ModuleState {
    let references = fs::read_to_string("/sys/module/scap/refcnt").ok().and_then(|text| text.trim().parse().ok());
    let mut state = ModuleState { moment: moment.into(), references, ..ModuleState::default() };
    let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let place = process.path();
        if !process.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        // A process that ends meanwhile has nothing open.
        let open = fs::read_dir(place.join("fd")).into_iter().flatten().flatten();
        let targets = open.filter_map(|fd| fs::read_link(fd.path()).ok());
        state.open_devices += targets.filter(|target| target.to_string_lossy().starts_with("/dev/scap")).count() as u32;
        let maps = fs::read_to_string(place.join("maps")).unwrap_or_default();
        state.mapped_rings += maps.lines().filter(|line| line.contains("/dev/scap")).count() as u32;
        let line = fs::read(place.join("cmdline")).unwrap_or_default();
        state.programs += u32::from(!name.is_empty() && String::from_utf8_lossy(&line).contains(&format!("/{name}\0")));
    }
    state.enabled = enabled();
    state
}

/// Events of tracefs that somebody has enabled; the module's own probes are counted by its references.
fn enabled() -> Vec<String> {
    let set = fs::read_to_string("/sys/kernel/tracing/set_event").unwrap_or_default();
    set.lines().map(str::to_owned).collect()
}
