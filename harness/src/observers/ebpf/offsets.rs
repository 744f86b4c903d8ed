//! Where the eBPF programs find things in this kernel's structures: from BTF, and from the formats of tracepoints.

use std::fs;
use std::path::{Path, PathBuf};

use portwitness_ebpf_common::{Offsets, SOCK_COMMON_REACH, UNKNOWN};

use super::btf::Btf;

/// The kernel's own BTF; `PORTWITNESS_BTF` names another file, for a kernel that ships it elsewhere.
pub(crate) fn btf_path() -> PathBuf {
    std::env::var_os("PORTWITNESS_BTF").map_or_else(|| "/sys/kernel/btf/vmlinux".into(), PathBuf::from)
}

/// Fills in what BTF tells; fails, and leaves it as it was, on a structure or member that every kernel has and this BTF
/// does not, and on one that lies where the programs do not look.
pub(super) fn from_btf(bytes: &[u8], into: &mut Offsets) -> Result<(), String> {
    let btf = Btf::parse(bytes)?;
    let bytes_to = |path: &str| btf.bits(path).map(|bits| bits / 8).ok_or_else(|| format!("BTF has no {path}"));
    let or_unknown = |path: &str| bytes_to(path).unwrap_or(UNKNOWN);
    let found = Offsets {
        sk_family: bytes_to("sock.__sk_common.skc_family")?,
        sk_dport: bytes_to("sock.__sk_common.skc_dport")?,
        sk_daddr: bytes_to("sock.__sk_common.skc_daddr")?,
        sk_rcv_saddr: bytes_to("sock.__sk_common.skc_rcv_saddr")?,
        // A kernel without IPv6 lacks these two.
        sk_v6_daddr: or_unknown("sock.__sk_common.skc_v6_daddr"),
        sk_v6_rcv_saddr: or_unknown("sock.__sk_common.skc_v6_rcv_saddr"),
        sk_ipv6only_bit: btf.bits("sock.__sk_common.skc_ipv6only").unwrap_or(UNKNOWN),
        sk_net: bytes_to("sock.__sk_common.skc_net.net")?,
        sk_protocol: bytes_to("sock.sk_protocol")?,
        sk_flags: or_unknown("sock.__sk_common.skc_flags"),
        sock_rcu_free: btf.enumerator("sock_flags", "SOCK_RCU_FREE").unwrap_or(UNKNOWN),
        inet_sport: bytes_to("inet_sock.inet_sport")?,
        net_inum: bytes_to("net.ns.inum")?,
        task_tgid: bytes_to("task_struct.tgid")?,
        task_group_leader: bytes_to("task_struct.group_leader")?,
        task_comm: bytes_to("task_struct.comm")?,
        task_exit_code: bytes_to("task_struct.exit_code")?,
        task_signal: bytes_to("task_struct.signal")?,
        signal_live: bytes_to("signal_struct.live")?,
        task_files: bytes_to("task_struct.files")?,
        files_fdt: bytes_to("files_struct.fdt")?,
        fdtable_max_fds: bytes_to("fdtable.max_fds")?,
        fdtable_fd: bytes_to("fdtable.fd")?,
        file_inode: bytes_to("file.f_inode")?,
        file_private_data: bytes_to("file.private_data")?,
        socket_sk: bytes_to("socket.sk")?,
        inode_mode: bytes_to("inode.i_mode")?,
        inode_ino: bytes_to("inode.i_ino")?,
        ..*into
    };
    within_reach(&found)?;
    *into = found;
    Ok(())
}

/// Whether the programs can read each part of `sock_common`: within what they read of it, and aligned to its width.
fn within_reach(offsets: &Offsets) -> Result<(), String> {
    let bit = offsets.sk_ipv6only_bit;
    // Name, offset, width and alignment in bytes.
    let parts = [
        ("skc_family", offsets.sk_family, 2, 2),
        ("skc_dport", offsets.sk_dport, 2, 2),
        ("skc_daddr", offsets.sk_daddr, 4, 4),
        ("skc_rcv_saddr", offsets.sk_rcv_saddr, 4, 4),
        ("skc_v6_daddr", offsets.sk_v6_daddr, 16, 4),
        ("skc_v6_rcv_saddr", offsets.sk_v6_rcv_saddr, 16, 4),
        ("skc_ipv6only", if bit == UNKNOWN { UNKNOWN } else { bit / 8 }, 1, 1),
        ("skc_net", offsets.sk_net, 8, 8),
    ];
    let beyond = |(_, at, width, alignment): &(&str, u32, u32, u32)| {
        *at != UNKNOWN && (*at > SOCK_COMMON_REACH - width || at % alignment != 0)
    };
    match parts.into_iter().find(beyond) {
        Some((name, at, ..)) => {
            Err(format!("it has sock_common.{name} at byte {at}, where the programs do not look for it"))
        }
        None => Ok(()),
    }
}

/// Fills in where the fields of the process tracepoints lie in their records, from `<tracefs>/events`.
pub(super) fn from_formats(tracefs: &Path, into: &mut Offsets) -> Result<(), String> {
    let read = |event: &str| {
        let path = tracefs.join("events").join(event).join("format");
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let newtask = read("task/task_newtask")?;
    let of = |name: &str| field(&newtask, name).ok_or_else(|| format!("task:task_newtask has no field {name}"));
    into.newtask_pid = of("pid")?;
    into.newtask_clone_flags = of("clone_flags")?;
    into.exit_group_dead = field(&read("sched/sched_process_exit")?, "group_dead").unwrap_or(UNKNOWN);
    Ok(())
}

/// The offset of a field in a tracepoint's format: `\tfield:pid_t pid;\toffset:8;\tsize:4;...`.
fn field(format: &str, name: &str) -> Option<u32> {
    format.lines().find_map(|line| {
        let mut parts = line.trim().strip_prefix("field:")?.split(';').map(str::trim);
        let declared = parts.next()?.rsplit(' ').next()?;
        let declared = declared.split('[').next()?;
        let offset = parts.next()?.strip_prefix("offset:")?;
        (declared == name).then(|| offset.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::properties::{config, text};

    #[test]
    fn the_running_kernel_tells_all_offsets() {
        // Not skipped: without BTF nothing is known of the kernel that these programs are to read.
        let bytes = fs::read("/sys/kernel/btf/vmlinux").unwrap_or_else(|error| {
            panic!("/sys/kernel/btf/vmlinux: {error}: boot a kernel with CONFIG_DEBUG_INFO_BTF to test on")
        });
        let mut offsets = Offsets::NONE;
        from_btf(&bytes, &mut offsets).unwrap();
        // struct sock_common begins with the addresses of the two ends (include/net/sock.h, Linux 2.6.33 to 6.18).
        assert_eq!((offsets.sk_daddr, offsets.sk_rcv_saddr), (0, 4));
        assert_eq!((offsets.sk_dport, offsets.sk_family), (12, 16));
        assert_ne!(offsets.sk_ipv6only_bit, UNKNOWN);
        assert!(offsets.sk_flags != UNKNOWN && offsets.sock_rcu_free < 64, "{offsets:?}");
        assert!(offsets.inet_sport > SOCK_COMMON_REACH, "{offsets:?}");
    }

    #[test]
    fn what_lies_beyond_the_reach_of_the_programs_is_refused() {
        let refused = |offsets: Offsets| within_reach(&offsets).err().unwrap_or_default();
        assert_eq!(
            within_reach(&Offsets { sk_net: 120, sk_v6_daddr: 112, sk_ipv6only_bit: 1023, ..Offsets::NONE }),
            Ok(())
        );
        assert!(refused(Offsets { sk_net: 128, ..Offsets::NONE }).contains("sock_common.skc_net at byte 128"));
        assert!(refused(Offsets { sk_net: 52, ..Offsets::NONE }).contains("skc_net"));
        assert!(refused(Offsets { sk_v6_daddr: 116, ..Offsets::NONE }).contains("skc_v6_daddr"));
        assert!(refused(Offsets { sk_ipv6only_bit: 1024, ..Offsets::NONE }).contains("skc_ipv6only"));
        assert!(refused(Offsets { sk_dport: 13, ..Offsets::NONE }).contains("skc_dport"));
    }

    #[test]
    fn what_is_not_btf_is_refused() {
        assert!(from_btf(b"not BTF at all", &mut Offsets::NONE.clone()).is_err());
    }

    #[test]
    fn fields_are_found_in_a_format() {
        let format = "name: task_newtask\nformat:\n\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
                      \tfield:pid_t pid;\toffset:8;\tsize:4;\tsigned:1;\n\
                      \tfield:char comm[16];\toffset:12;\tsize:16;\tsigned:0;\n";
        assert_eq!(field(format, "pid"), Some(8));
        assert_eq!(field(format, "comm"), Some(12));
        assert_eq!(field(format, "absent"), None);
    }

    proptest! {
        #![proptest_config(config(1000))]

        #[test]
        fn any_format_has_a_field_or_not(text in text(), before in "[a-z_ *]{0,9}", name in "[a-z_]{1,9}", offset: u32) {
            let _ = field(&text, &name);
            let _ = field(&format!("field:{text};offset:{text};"), &text);
            let format = format!("{text}\n\tfield:{before} {name}[4];\toffset:{offset};\tsize:4;\n");
            prop_assert_eq!(field(&format, &name), Some(offset));
        }
    }
}
