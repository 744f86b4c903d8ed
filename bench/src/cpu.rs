//! CPU time of processes and threads, in ns, as the scheduler counts it.

use std::fs;
use std::mem::MaybeUninit;

use anyhow::Context;

/// The clock of a process by its pid, or of a thread, as include/linux/posix-timers_types.h (Linux 6.18) encodes them.
const SCHED: libc::clockid_t = 2;
const PER_THREAD: libc::clockid_t = 4;

/// Of this process.
pub(crate) fn own() -> u64 {
    nanoseconds(libc::CLOCK_PROCESS_CPUTIME_ID).unwrap_or(0)
}

/// Of another process, all its threads together.
pub(crate) fn process(pid: u32) -> anyhow::Result<u64> {
    nanoseconds((!(pid as libc::clockid_t) << 3) | SCHED).with_context(|| format!("the CPU time of process {pid}"))
}

/// Of those threads of this process whose name is `name`, together.
pub(crate) fn threads(name: &str) -> anyhow::Result<u64> {
    let mut sum = 0;
    for thread in fs::read_dir("/proc/self/task").context("/proc/self/task")? {
        let path = thread.context("/proc/self/task")?.path();
        // A thread may end meanwhile.
        if fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
            && let Some(tid) = path.file_name().and_then(|tid| tid.to_str()?.parse::<libc::clockid_t>().ok())
        {
            sum += nanoseconds((!tid << 3) | PER_THREAD | SCHED).unwrap_or(0);
        }
    }
    Ok(sum)
}

/// Whether a thread of this name is there.
pub(crate) fn has_thread(name: &str) -> anyhow::Result<bool> {
    let threads = fs::read_dir("/proc/self/task").context("/proc/self/task")?;
    let comm = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("comm")).ok();
    Ok(threads.filter_map(|thread| comm(thread.ok()?)).any(|comm| comm.trim_end() == name))
}

fn nanoseconds(clock: libc::clockid_t) -> std::io::Result<u64> {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: clock_gettime writes one timespec through the pointer, or fails.
    if unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: it succeeded, so the time is written.
    let time = unsafe { time.assume_init() };
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_clocks_of_this_process_agree() {
        let before = own();
        let by_pid = process(std::process::id()).unwrap();
        let after = own();
        assert!(before <= by_pid && by_pid <= after, "{before} {by_pid} {after}");
    }

    #[test]
    fn a_thread_is_found_by_its_name() {
        let spin = || {
            let began = std::time::Instant::now();
            while began.elapsed() < std::time::Duration::from_millis(5) {}
            threads("a-busy-thread").unwrap()
        };
        let busy = std::thread::Builder::new().name("a-busy-thread".into()).spawn(spin).unwrap().join().unwrap();
        assert!(busy > 0);
        assert_eq!(threads("nobody").unwrap(), 0);
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        assert!(process(u32::MAX >> 4).unwrap_err().to_string().contains("the CPU time of process"));
    }
}
