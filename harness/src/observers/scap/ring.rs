//! The device of the scap module, and the ring of one CPU: all that is unsafe about them.
//!
//! The module writes events at the head, and only into the part of the ring that the reader has given back by moving the
//! tail (`record_event_consumer` in `driver/main.c`). What lies between tail and head is copied before anything looks at it.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::wire::HEADER;

/// What is copied out of the ring at once, and more than the longest event: 64 KiB of a parameter (`driver/ppm.h`, a length
/// is 16 bits wide), of which exec has two or three.
const CHUNK: usize = 512 << 10;

/// Where the counters lie in the info page, in bytes (`struct ppm_ring_buffer_info` in `driver/ppm_ringbuffer.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InfoLayout {
    /// `n_drops_pf`.
    pub(super) faults: usize,
    /// `n_preemptions`.
    pub(super) preemptions: usize,
    /// Whether events that were lost to preemption are among `n_evts`: API 1 counts before it looks, later ones after.
    pub(super) counts_preempted: bool,
}

const HEAD: usize = 0;
const TAIL: usize = 4;
const EVENTS: usize = 8;
const DROPS: usize = 16;
const PAGE: usize = 4096;

/// What the module counted in a ring since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Events that were to be written.
    pub(super) events: u64,
    /// Of these, lost because the ring was full.
    pub(super) full: u64,
    /// Lost because memory of the process was not there.
    pub(super) faults: u64,
    /// Lost because the CPU was in the middle of another event.
    pub(super) preempted: u64,
}

/// What a reading of the ring found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Events.
    pub(super) events: u64,
    /// Places where the rest of what was there had to be thrown away, because a length made no sense.
    pub(super) garbage: u64,
}

/// The ring of one CPU.
pub(super) struct Ring {
    info: Mapping,
    data: Mapping,
    size: usize,
    layout: InfoLayout,
    chunk: Vec<u8>,
}

impl Ring {
    /// Maps a ring of `size` bytes: `info` from the start of one file, the data, twice in a row, from the start of another
    /// (for the module both are the device, which tells them apart by the length that is mapped).
    pub(super) fn map(info: BorrowedFd<'_>, data: BorrowedFd<'_>, size: usize, layout: InfoLayout) -> io::Result<Self> {
        let info = Mapping::new(info, PAGE, ProtFlags::READ | ProtFlags::WRITE)?;
        let data = Mapping::new(data, 2 * size, ProtFlags::READ)?;
        Ok(Self { info, data, size, layout, chunk: Vec::new() })
    }

    /// Gives each event that was there at the call to `each`, in the order of the ring; an error when head or tail cannot be.
    pub(super) fn read(&mut self, mut each: impl FnMut(&[u8])) -> io::Result<Tally> {
        let head = self.info.u32(HEAD).load(Ordering::Acquire) as usize;
        let mut tail = self.info.u32(TAIL).load(Ordering::Relaxed) as usize;
        if head >= self.size || tail >= self.size {
            let why = format!("head {head} or tail {tail} lies outside of the ring's {} bytes", self.size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let mut tally = Tally::default();
        let mut left = (head + self.size - tail) % self.size;
        while left > 0 {
            let length = left.min(CHUNK);
            self.data.copy(tail, length, &mut self.chunk);
            let mut used = 0;
            while let Some(event) = next_event(&self.chunk[used..], left - used) {
                match event {
                    Ok(event) => {
                        each(event);
                        tally.events += 1;
                        used += event.len();
                    }
                    // Where the next event begins cannot be known: everything up to the head goes.
                    Err(Nonsense) => {
                        tally.garbage += 1;
                        used = left;
                        break;
                    }
                }
            }
            tail = (tail + used) % self.size;
            left -= used;
            self.info.u32(TAIL).store(tail as u32, Ordering::Release);
        }
        Ok(tally)
    }

    /// The module's counters at this moment.
    pub(super) fn counters(&self) -> Counters {
        let count = |at| self.info.u64(at).load(Ordering::Relaxed);
        Counters {
            events: count(EVENTS),
            full: count(DROPS),
            faults: count(self.layout.faults),
            preempted: count(self.layout.preemptions),
        }
    }

    pub(super) fn layout(&self) -> InfoLayout {
        self.layout
    }
}

/// A length that no event has.
struct Nonsense;

/// The event at the start of `bytes`, of which `available` are in the ring; `None` when its end is not among `bytes`.
fn next_event(bytes: &[u8], available: usize) -> Option<Result<&[u8], Nonsense>> {
    let Some(length) = bytes.get(16..20) else {
        // Whole events are written before the head moves: a part of a header is none.
        return (available > 0 && available < HEADER).then_some(Err(Nonsense));
    };
    let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
    if !(HEADER..=CHUNK.min(available)).contains(&length) {
        return Some(Err(Nonsense));
    }
    bytes.get(..length).map(Ok)
}

/// What the module is told to do, by the number of the ioctl `_IO('s', n)`; none of them takes a pointer (`ppm_ioctl` in
/// `driver/main.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Order {
    /// API 1: this ring takes no more events.
    DisableCapture = 0,
    /// API 1: this ring takes events.
    EnableCapture = 1,
    /// API 1: no kind of event is wanted.
    ZeroEvents = 5,
    /// API 1: this kind of event is wanted.
    SetEvent = 6,
    /// Since API 8: this system call is wanted.
    EnableSyscall = 29,
    /// Since API 8: events of this tracepoint are wanted.
    AttachTracepoint = 31,
    /// Since API 8: they are not wanted any more.
    DetachTracepoint = 32,
}

/// Gives the module an order.
pub(super) fn control(device: BorrowedFd<'_>, order: Order, argument: usize) -> io::Result<()> {
    // SAFETY: no order takes a pointer.
    Ok(unsafe { ioctl(device, Control { opcode: opcode(order as u8), argument }) }?)
}

/// An ioctl of the module that writes a u64: its versions.
pub(super) fn version(device: BorrowedFd<'_>, number: VersionOf) -> io::Result<u64> {
    let mut packed = 0_u64;
    let argument = std::ptr::from_mut(&mut packed) as usize;
    // SAFETY: both write a u64 at the address (`ppm_ioctl` in `driver/main.c`), and `packed` outlives the call.
    unsafe { ioctl(device, Control { opcode: opcode(number as u8), argument }) }?;
    Ok(packed)
}

/// The versions that the module tells.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum VersionOf {
    Api = 24,
    Schema = 25,
}

const fn opcode(number: u8) -> Opcode {
    (b's' as Opcode) << 8 | number as Opcode
}

struct Control {
    opcode: Opcode,
    argument: usize,
}

// SAFETY: the argument is passed as it is, and nothing is read back.
unsafe impl Ioctl for Control {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        std::ptr::without_provenance_mut(self.argument)
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut std::ffi::c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

/// Shared memory, for as long as this lives.
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory belongs to the process, not to a thread; it is only accessed atomically or copied out of.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(file: BorrowedFd<'_>, length: usize, protection: ProtFlags) -> io::Result<Self> {
        // SAFETY: a new mapping at a place of the kernel's choice touches no memory that is in use.
        let start = unsafe { mmap(std::ptr::null_mut(), length, protection, MapFlags::SHARED, file, 0) }?;
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { start, length })
    }

    fn u32(&self, at: usize) -> &AtomicU32 {
        assert!(at + 4 <= self.length && at.is_multiple_of(4));
        // SAFETY: aligned and within the mapping, which lives as long as `self`; the kernel's side accesses it as one word.
        unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(at).cast()) }
    }

    fn u64(&self, at: usize) -> &AtomicU64 {
        assert!(at + 8 <= self.length && at.is_multiple_of(8));
        // SAFETY: see above.
        unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(at).cast()) }
    }

    /// Makes `to` a copy of `length` bytes from `at`.
    fn copy(&self, at: usize, length: usize, to: &mut Vec<u8>) {
        assert!(at + length <= self.length);
        to.clear();
        to.reserve(length);
        // SAFETY: within the mapping; the kernel does not write here before the tail has passed. `to` has room for it.
        unsafe {
            std::ptr::copy_nonoverlapping(self.start.as_ptr().add(at), to.as_mut_ptr(), length);
            to.set_len(length);
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, with this length; nothing borrows from it any more.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests;
