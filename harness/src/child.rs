//! What a program that is started has of this process: an end with it, and none of the signals that it ignores.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

/// Those by which programs are asked to end. A shell that starts this process in the background, or nohup(1), has it ignore some
/// of them; execve(2) hands that on, and who inherits it is never asked.
const ASKING: [Signal; 4] = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP];

/// The kernel kills the program, and it alone, when the thread that starts it ends: when this process dies without a chance to
/// stop it (SIGKILL), what it launched itself dies too. What that spawned does not, for the signal is not inherited, nor does
/// what changed its user (prctl(2), PR_SET_PDEATHSIG). It begins with every signal by which it may be asked to end at its default.
pub(crate) fn die_with_parent(command: &mut Command) {
    let parent = getpid();
    // SAFETY: between fork and exec the closure makes system calls alone (prctl, getppid and sigaction, by signal(2)), and touches
    // no memory that another thread could hold a lock on.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // The parent may have died before the signal was asked for.
            if getppid() != Some(parent) {
                return Err(io::Error::from(rustix::io::Errno::SRCH));
            }
            for signal in ASKING {
                if libc::signal(signal.as_raw(), libc::SIG_DFL) == libc::SIG_ERR {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn a_signal_that_this_process_ignores_ends_what_it_starts() {
        for (signal, name) in [(Signal::INT, "INT"), (Signal::HUP, "HUP"), (Signal::TERM, "TERM")] {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("kill -{name} $$; exit 7")]);
            // SAFETY: one system call, and no memory.
            unsafe {
                command.pre_exec(move || {
                    libc::signal(signal.as_raw(), libc::SIG_IGN);
                    Ok(())
                });
            }
            assert_eq!(command.status().unwrap().code(), Some(7), "without this module, SIG{name} is not heard");
            die_with_parent(&mut command);
            assert_eq!(command.status().unwrap().signal(), Some(signal.as_raw()));
        }
    }
}
