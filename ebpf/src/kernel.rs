//! Reads the kernel's structures at offsets that user space took from BTF.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_probe_read_kernel};
use portwitness_ebpf_common::{
    AF_INET, AF_INET6, ConnectedRecord, IPV6_ONLY, REFUSED, SOCK_COMMON_REACH, SocketRecord, UNKNOWN,
};

use crate::maps::offset;

/// Reads a value at `offset` bytes from `base`.
#[inline(always)]
pub fn read<T>(base: u64, offset: u32) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper checks the source, and on success has written the whole value; only integers are read.
    unsafe {
        let source = (base + u64::from(offset)) as *const _;
        let failed = bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, source);
        (failed == 0).then(|| value.assume_init())
    }
}

/// The start of `struct sock_common` (136 bytes on 64-bit kernels), read in one go.
struct Common([u64; SOCK_COMMON_REACH as usize / 8]);

// The masks bound an offset for the verifier; user space has seen to it that they change none.
impl Common {
    /// Reads into a place of the caller's: returned by value it would lie on the stack of 512 bytes twice.
    #[inline(always)]
    fn read(place: &mut MaybeUninit<Self>, socket: u64) -> Option<&Self> {
        // SAFETY: the helper checks the source, and on success has written the whole place, which holds integers.
        unsafe {
            let failed = bpf_probe_read_kernel(place.as_mut_ptr().cast(), size_of::<Self>() as u32, socket as *const _);
            (failed == 0).then(|| place.assume_init_ref())
        }
    }

    #[inline(always)]
    fn byte(&self, offset: u32) -> u8 {
        // SAFETY: within the array, see the masks above.
        unsafe { *self.0.as_ptr().cast::<u8>().add((offset & (SOCK_COMMON_REACH - 1)) as usize) }
    }

    #[inline(always)]
    fn half(&self, offset: u32) -> u16 {
        // SAFETY: within the array and aligned, by the mask.
        unsafe { *self.0.as_ptr().cast::<u16>().add(((offset & (SOCK_COMMON_REACH - 2)) >> 1) as usize) }
    }

    #[inline(always)]
    fn word(&self, offset: u32) -> u32 {
        // SAFETY: within the array and aligned, by the mask.
        unsafe { *self.0.as_ptr().cast::<u32>().add(((offset & (SOCK_COMMON_REACH - 4)) >> 2) as usize) }
    }

    #[inline(always)]
    fn long(&self, offset: u32) -> u64 {
        // SAFETY: within the array and aligned, by the mask.
        unsafe { *self.0.as_ptr().add(((offset & (SOCK_COMMON_REACH - 8)) >> 3) as usize) }
    }

    #[inline(always)]
    fn address(&self, offset: u32) -> [u32; 4] {
        [self.word(offset), self.word(offset + 4), self.word(offset + 8), self.word(offset + 12)]
    }

    /// The addresses of both ends, its own first.
    #[inline(always)]
    fn ends(&self, family: u16, local: &mut [u32; 4], remote: &mut [u32; 4]) {
        if family == AF_INET6 {
            *local = self.address(offset!(sk_v6_rcv_saddr));
            *remote = self.address(offset!(sk_v6_daddr));
        } else {
            local[0] = self.word(offset!(sk_rcv_saddr));
            remote[0] = self.word(offset!(sk_daddr));
        }
    }

    #[inline(always)]
    fn netns(&self) -> u32 {
        read(self.long(offset!(sk_net)), offset!(net_inum)).unwrap_or(0)
    }

    #[inline(always)]
    fn flags(&self) -> u8 {
        let bit = offset!(sk_ipv6only_bit);
        if bit == UNKNOWN { 0 } else { (self.byte(bit >> 3) >> (bit & 7) & 1) * IPV6_ONLY }
    }
}

/// Fills in what a record says of the socket at this kernel address, and returns the socket's protocol.
#[inline(always)]
pub fn read_socket(socket: u64, record: &mut SocketRecord) -> Option<u16> {
    let mut place = MaybeUninit::uninit();
    let common = Common::read(&mut place, socket)?;
    record.family = common.half(offset!(sk_family));
    common.ends(record.family, &mut record.local, &mut record.remote);
    record.netns = common.netns();
    record.flags = common.flags();
    record.remote_port = u16::from_be(common.half(offset!(sk_dport)));
    record.local_port = port_of(socket)?;
    read(socket, offset!(sk_protocol))
}

/// Fills in both ends of the socket that is the running task's descriptor `fd`; `None` for what is no socket, has no other
/// end, or cannot be read.
#[inline(always)]
pub fn read_ends(fd: i32, record: &mut ConnectedRecord) -> Option<()> {
    let file = file(fd)?;
    let inode: u64 = read(file, offset!(file_inode))?;
    if !is_socket_mode(read(inode, offset!(inode_mode))?) {
        return None;
    }
    let socket: u64 = read(file, offset!(file_private_data))?;
    let socket: u64 = read(socket, offset!(socket_sk))?;
    let mut place = MaybeUninit::uninit();
    let common = Common::read(&mut place, socket)?;
    record.family = common.half(offset!(sk_family));
    // A socket of another family holds something else at these places.
    if record.family != AF_INET && record.family != AF_INET6 {
        return None;
    }
    common.ends(record.family, &mut record.local, &mut record.remote);
    record.remote_port = u16::from_be(common.half(offset!(sk_dport)));
    record.local_port = port_of(socket)?;
    (record.remote_port != 0).then_some(())
}

/// The socket's own port, where that can be read.
#[inline(always)]
pub fn port_of(socket: u64) -> Option<u16> {
    let field = offset!(inet_sport);
    if field == UNKNOWN {
        return None;
    }
    // Not skc_num: that one is 0 already when a listener with an automatic port closes.
    read(socket, field).map(u16::from_be)
}

/// [`REFUSED`] for a socket that leaves LISTEN without ever having been among those that listen: the kernel lets it listen
/// before it looks whether its address is free (inet_csk_listen_start), and marks it as one whose readers hold no
/// reference when it joins the others (__inet_hash; Linux 4.7 to 6.18). A socket that listened before keeps the mark.
#[inline(always)]
pub fn refused(socket: u64) -> u8 {
    let (field, bit) = (offset!(sk_flags), offset!(sock_rcu_free));
    if field == UNKNOWN || bit == UNKNOWN {
        return 0;
    }
    match read::<u64>(socket, field) {
        Some(flags) if flags >> (bit & 63) & 1 == 0 => REFUSED,
        _ => 0,
    }
}

/// Fills in what a tracepoint's own record does not tell: namespace and flags.
#[inline(always)]
pub fn complete_socket(socket: u64, record: &mut SocketRecord) {
    if offset!(sk_net) == UNKNOWN {
        return;
    }
    let mut place = MaybeUninit::uninit();
    if let Some(common) = Common::read(&mut place, socket) {
        record.netns = common.netns();
        record.flags = common.flags();
    }
}

/// Whether the running task's whole process is ending, and how, where that is known.
#[inline(always)]
pub fn exit_of_current() -> Option<(bool, i32)> {
    if offset!(signal_live) == UNKNOWN {
        return None;
    }
    // SAFETY: the helper takes nothing and always succeeds.
    let task = unsafe { bpf_get_current_task() };
    let signal: u64 = read(task, offset!(task_signal))?;
    let live: i32 = read(signal, offset!(signal_live))?;
    Some((live == 0, read(task, offset!(task_exit_code))?))
}

/// Whether the running task's descriptor `fd` is a socket; true when that cannot be told.
#[inline(always)]
pub fn is_socket(fd: i32) -> bool {
    if offset!(inode_mode) == UNKNOWN {
        return true;
    }
    file(fd).and_then(|file| read(read(file, offset!(file_inode))?, offset!(inode_mode))).is_some_and(is_socket_mode)
}

/// Whether an inode of this mode is a socket (include/uapi/linux/stat.h).
#[inline(always)]
pub fn is_socket_mode(mode: u16) -> bool {
    mode & 0o170000 == 0o140000
}

/// The open file behind the running task's descriptor `fd`.
#[inline(always)]
fn file(fd: i32) -> Option<u64> {
    // SAFETY: the helper takes nothing and always succeeds.
    let task = unsafe { bpf_get_current_task() };
    let files: u64 = read(task, offset!(task_files))?;
    let table: u64 = read(files, offset!(files_fdt))?;
    if fd as u32 >= read(table, offset!(fdtable_max_fds))? {
        return None;
    }
    let descriptors: u64 = read(table, offset!(fdtable_fd))?;
    read(descriptors + u64::from(fd as u32) * 8, 0)
}
