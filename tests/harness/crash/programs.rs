//! Tracing programs in the kernel that no living process holds: what a run must not leave attached.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use aya::programs::loaded_programs;

use super::leftovers::numbered;
use crate::support::eventually;

/// BPF_PROG_TYPE_KPROBE, TRACEPOINT, RAW_TRACEPOINT and TRACING (include/uapi/linux/bpf.h).
const TRACING: [u32; 4] = [2, 5, 17, 26];

/// Tracing programs without an owner. Programs of other runs have one, and so have those of other tools, unless they are
/// pinned: that is what a look before the run is for.
pub(super) fn unowned() -> BTreeSet<u32> {
    let loaded: BTreeSet<u32> = loaded_programs()
        .filter_map(Result::ok)
        .filter(|program| TRACING.contains(&(program.program_type() as u32)))
        .map(|program| program.id())
        .collect();
    // Owners are looked at second: a program that was loaded meanwhile is not in the list.
    let owned = owned();
    loaded.difference(&owned).copied().collect()
}

/// Asserts that no program without an owner has come since `before`.
pub(super) fn assert_none_since(before: &BTreeSet<u32>) {
    // Programs are freed a little after their last owner has gone. Other runs end all the time, so some program is without an
    // owner nearly always on a busy machine: what is left is one that stays.
    let mut left = &unowned() - before;
    eventually("no tracing program is left without an owner", || {
        left = &left & &unowned();
        left.is_empty()
    });
}

/// Every program that some descriptor of some process names, by itself or as part of a link.
fn owned() -> BTreeSet<u32> {
    let mut owned = BTreeSet::new();
    for process in numbered(Path::new("/proc")) {
        let place = Path::new("/proc").join(process);
        for number in numbered(&place.join("fd")) {
            let target = fs::read_link(place.join("fd").join(&number)).unwrap_or_default();
            if !target.to_string_lossy().contains("bpf") {
                continue;
            }
            let text = fs::read_to_string(place.join("fdinfo").join(&number)).unwrap_or_default();
            owned.extend(text.lines().filter_map(|line| line.strip_prefix("prog_id:")?.trim().parse::<u32>().ok()));
        }
    }
    owned
}

mod tests {
    use std::io::IoSlice;
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd;

    use rustix::net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
        socketpair,
    };

    use super::*;
    use crate::observers::stage::{self, Watch};

    #[test]
    fn a_program_that_nobody_owns_is_found() {
        stage::alone(|| {
            let before = unowned();
            let loaded = || -> BTreeSet<u32> { loaded_programs().flatten().map(|program| program.id()).collect() };
            let others = loaded();
            let watch = Watch::start(None);
            let ours = owned_by_this_process();
            assert!(ours.len() >= 3, "programs of the observer: {ours:?}");
            assert!(ours.is_disjoint(&unowned()), "they have an owner");

            // A descriptor on its way through a socket keeps the program, and no process shows it.
            let (sender, receiver) =
                socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
            let kept = *ours.difference(&others).next().unwrap();
            let program = loaded_programs().flatten().find(|program| program.id() == kept).unwrap();
            let descriptor = program.fd().unwrap();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            let rights = [descriptor.as_fd()];
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(&rights)));
            sendmsg(&sender, &[IoSlice::new(b".")], &mut ancillary, SendFlags::empty()).unwrap();
            drop((descriptor, watch));

            eventually("the program without an owner is found", || unowned().contains(&kept));
            assert!(!unowned().is_subset(&before));
            drop((sender, receiver));
            eventually("it is gone", || !unowned().contains(&kept));
        });
    }

    fn owned_by_this_process() -> BTreeSet<u32> {
        let text = |number| fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let all = numbered(Path::new("/proc/self/fd")).into_iter().map(text).collect::<String>();
        all.lines().filter_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok()).collect()
    }
}
