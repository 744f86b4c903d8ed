//! Where things lie in the running kernel's structures: user space reads it from BTF, the programs use it.

#[cfg(feature = "user")]
use zerocopy::{Immutable, IntoBytes};

/// An offset that is not known.
pub const UNKNOWN: u32 = u32::MAX;

/// The programs read the start of `struct sock_common` at once: what they take from it begins below this many bytes, and
/// the masks by which the verifier is told so drop what lies above.
pub const SOCK_COMMON_REACH: u32 = 128;

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Offsets in bytes, unless said otherwise; [`UNKNOWN`] for what this kernel does not have or tell.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "user", derive(IntoBytes, Immutable))]
        #[repr(C)]
        pub struct Offsets {
            $($(#[$doc])* pub $name: u32,)+
        }

        impl Offsets {
            /// Nothing is known.
            pub const NONE: Self = Self { $($name: UNKNOWN,)+ };
        }
    };
}

offsets! {
    /// `sock.__sk_common.skc_family`
    sk_family,
    /// `sock.__sk_common.skc_dport`
    sk_dport,
    /// `sock.__sk_common.skc_daddr`
    sk_daddr,
    /// `sock.__sk_common.skc_rcv_saddr`
    sk_rcv_saddr,
    /// `sock.__sk_common.skc_v6_daddr`
    sk_v6_daddr,
    /// `sock.__sk_common.skc_v6_rcv_saddr`
    sk_v6_rcv_saddr,
    /// `sock.__sk_common.skc_ipv6only`, in bits
    sk_ipv6only_bit,
    /// `sock.__sk_common.skc_net.net`
    sk_net,
    /// `sock.sk_protocol`
    sk_protocol,
    /// `sock.__sk_common.skc_flags`
    sk_flags,
    /// `SOCK_RCU_FREE` of `enum sock_flags`, the number of a bit in `sk_flags`.
    sock_rcu_free,
    /// `inet_sock.inet_sport`
    inet_sport,
    /// `net.ns.inum`
    net_inum,
    /// `task_struct.tgid`
    task_tgid,
    /// `task_struct.group_leader`
    task_group_leader,
    /// `task_struct.comm`
    task_comm,
    /// `task_struct.exit_code`
    task_exit_code,
    /// `task_struct.signal`
    task_signal,
    /// `signal_struct.live`
    signal_live,
    /// `task_struct.files`
    task_files,
    /// `files_struct.fdt`
    files_fdt,
    /// `fdtable.max_fds`
    fdtable_max_fds,
    /// `fdtable.fd`
    fdtable_fd,
    /// `file.f_inode`
    file_inode,
    /// `file.private_data`
    file_private_data,
    /// `socket.sk`
    socket_sk,
    /// `inode.i_mode`
    inode_mode,
    /// `inode.i_ino`
    inode_ino,
    /// Field `pid` in the record of the tracepoint task:task_newtask.
    newtask_pid,
    /// Field `clone_flags` in the record of the tracepoint task:task_newtask.
    newtask_clone_flags,
    /// Field `group_dead` in the record of the tracepoint sched:sched_process_exit (since Linux 6.16).
    exit_group_dead,
}

#[cfg(feature = "user")]
impl Offsets {
    /// As the programs hold them in memory.
    pub fn as_bytes(&self) -> &[u8] {
        IntoBytes::as_bytes(self)
    }
}
