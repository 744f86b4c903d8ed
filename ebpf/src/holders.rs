//! Who holds which socket, read from the tables of descriptors without taking hold of anything.
//!
//! To look at `/proc/PID/fd/N`, or only to list that folder, is to hold the open file for a moment (fs/proc/fd.c,
//! proc_fd_link and proc_readfd_common, Linux 6.18): a process that closes its descriptor in that moment leaves the close to
//! whoever looked, for when that one leaves the kernel. What is read here is only read.

use portwitness_ebpf_common::{SETTING_DESCRIPTORS_FROM, SPAN};

use crate::kernel::{is_socket_mode, read};
use crate::maps::{HELD, HOLDERS, LARGEST_TABLE, is_tracked, offset, setting};

/// What an iterator over all tasks hands to its program (kernel/bpf/task_iter.c, struct bpf_iter__task).
#[repr(C)]
pub struct Visit {
    meta: u64,
    task: u64,
}

/// Looks at [`SPAN`] descriptors of each table; user space lets it run until no table is longer.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub extern "C" fn holders(visit: *const Visit) -> i32 {
    // SAFETY: the kernel hands over this structure; the task is 0 at the end of the list.
    let task = unsafe { (*visit).task };
    if task != 0 {
        let _ = look(task);
    }
    0
}

/// `None` when there is nothing to see, or no longer.
#[inline(always)]
fn look(task: u64) -> Option<()> {
    let files: u64 = read(task, offset!(task_files))?;
    let leader: u64 = read(task, offset!(task_group_leader))?;
    // Threads share one table, but a leader that has ended has none.
    if files == 0 || (leader != task && read(leader, offset!(task_files)) == Some(files)) {
        return None;
    }
    let tgid: u32 = read(task, offset!(task_tgid))?;
    let table: u64 = read(files, offset!(files_fdt))?;
    let length: u32 = read(table, offset!(fdtable_max_fds))?;
    let descriptors: u64 = read(table, offset!(fdtable_fd))?;
    note_length(length);
    let from = setting(SETTING_DESCRIPTORS_FROM);
    for fd in 0..SPAN {
        let fd = from + fd;
        if fd >= length {
            break;
        }
        if let Some(inode) = socket_at(descriptors, fd) {
            held(task, tgid, inode);
        }
    }
    Some(())
}

/// The inode number of the socket at this place of a table.
#[inline(always)]
fn socket_at(descriptors: u64, fd: u32) -> Option<u64> {
    let file: u64 = read(descriptors + u64::from(fd) * 8, 0)?;
    if file == 0 {
        return None;
    }
    let inode: u64 = read(file, offset!(file_inode))?;
    if !is_socket_mode(read(inode, offset!(inode_mode))?) {
        return None;
    }
    read(inode, offset!(inode_ino))
}

#[inline(always)]
fn held(task: u64, tgid: u32, inode: u64) {
    if let Some(count) = HELD.get_ptr_mut(tgid) {
        // SAFETY: one look at a time is under way, and user space reads when it is over.
        unsafe { *count += 1 };
    }
    let Some(holder) = HOLDERS.get_ptr_mut(inode) else { return };
    // SAFETY: see above.
    let holder = unsafe { &mut *holder };
    if holder.tgid == 0 {
        holder.tgid = tgid;
        if let Some(comm) = read(task, offset!(task_comm)) {
            holder.comm = comm;
        }
    }
    if is_tracked(tgid) {
        holder.tracked = 1;
    }
}

#[inline(always)]
fn note_length(length: u32) {
    if let Some(largest) = LARGEST_TABLE.get_ptr_mut(0) {
        // SAFETY: see above.
        unsafe { *largest = (*largest).max(length) };
    }
}
