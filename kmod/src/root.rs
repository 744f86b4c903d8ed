//! A folder of unpacked packages as the root of a program.

use std::path::Path;
use std::process::Command;

/// Run with the root folder, then the command: it needs /dev/null and the like, which nobody else gets to see.
const ENTER: &str = r#"root=$1; shift
mount --rbind /dev "$root/dev" && mount -t proc proc "$root/proc" && exec chroot "$root" "$@""#;

/// `program` inside `root`, which has to have folders `dev` and `proc`; its arguments are still to be added.
///
/// It runs in a mount namespace of its own; who is not root gets a user namespace as well.
pub fn command_in(root: &Path, program: &str) -> Command {
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["sh", "-c", ENTER, "sh"]).arg(root).arg(program);
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    command
}
