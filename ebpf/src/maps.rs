//! The maps, and what user space sets before it loads the programs.

use aya_ebpf::Global;
use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, RingBuf};
use portwitness_ebpf_common::{
    Holder, Offsets, Probe, SETTINGS as SETTING_COUNT, SocketRecord, SyscallRecord, TRACK_ALL,
};

/// Every record, in the order of reservation; the size is set by user space.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(2 << 20, 0);

/// Records lost, by `Probe`.
#[map]
pub static DROPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Probe::ALL.len() as u32, 0);

/// When a CPU woke the reader last, in ns of CLOCK_MONOTONIC.
#[map]
pub static WOKEN: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// What user space changes while the programs run.
#[map]
pub static SETTINGS: Array<u32> = Array::with_max_entries(SETTING_COUNT, 0);

/// Processes, by tgid, and how they are followed.
#[map]
pub static TRACKED: HashMap<u32, u32> = HashMap::with_max_entries(16384, 0);

/// How many threads a tracked process has, by tgid, for those that were seen to begin; kept only where the kernel does not tell
/// which thread is a process's last: without BTF before Linux 6.16.
#[map]
pub static THREADS: HashMap<u32, i64> = HashMap::with_max_entries(16384, 0);

/// Sockets whose further life is recorded, by address: listeners that were recorded, connections of tracked processes.
#[map]
pub static SOCKETS: HashMap<u64, u8> = HashMap::with_max_entries(65536, 0);

/// Ports that were asked for, and those at which a tracked process has listened: the connections accepted there are
/// followed. Network namespace in the upper half, port in the lower. None is taken out again, so there is room for all
/// ports of a namespace.
#[map]
pub static PORTS: HashMap<u64, u8> = HashMap::with_max_entries(65536, 0);

/// System calls in progress, by thread, as they were recorded at their entry.
#[map]
pub static CALLS: HashMap<u32, SyscallRecord> = HashMap::with_max_entries(16384, 0);

/// Listeners whose port the kernel has still to choose, by the thread that is in listen(2).
#[map]
pub static UNNUMBERED: HashMap<u32, SocketRecord> = HashMap::with_max_entries(1024, 0);

/// Sockets whose holders are looked for, by inode number. User space alone puts them in and takes them out, so that memory
/// is taken as needed (BPF_F_NO_PREALLOC).
#[map]
pub static HOLDERS: HashMap<u64, Holder> = HashMap::with_max_entries(65536, BPF_F_NO_PREALLOC);

/// Processes whose sockets are counted, by tgid; likewise.
#[map]
pub static HELD: HashMap<u32, u64> = HashMap::with_max_entries(16384, BPF_F_NO_PREALLOC);

/// The length of the longest table of descriptors that a look came by.
#[map]
pub static LARGEST_TABLE: Array<u32> = Array::with_max_entries(1, 0);

/// Where things lie in this kernel's structures.
#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = Offsets::NONE;

/// The observed network namespace.
#[unsafe(no_mangle)]
pub static NETNS: Global<u32> = Global::new(0);

/// What is recorded beside the doings of tracked processes: bits `SCOPE_*`.
#[unsafe(no_mangle)]
pub static SCOPE: Global<u32> = Global::new(0);

/// The reader is woken when more bytes than these lie unread.
#[unsafe(no_mangle)]
pub static WAKE_ABOVE: Global<u64> = Global::new(0);

/// One offset; volatile because user space overwrites the constant after compilation.
macro_rules! offset {
    ($name:ident) => {
        // SAFETY: the static is initialised, and nothing writes to it while programs run.
        unsafe { core::ptr::read_volatile(&raw const $crate::maps::OFFSETS.$name) }
    };
}
pub(crate) use offset;

/// How a process is followed, if at all.
#[inline(always)]
pub fn tracking(tgid: u32) -> Option<u32> {
    // SAFETY: the value is copied at once.
    unsafe { TRACKED.get(tgid) }.copied()
}

/// Whether a process's own doings are recorded.
#[inline(always)]
pub fn is_tracked(tgid: u32) -> bool {
    tracking(tgid) == Some(TRACK_ALL)
}

/// A setting; 0 until user space sets it.
#[inline(always)]
pub fn setting(index: u32) -> u32 {
    SETTINGS.get(index).copied().unwrap_or(0)
}
