//! What a run must not leave behind, found without asking the harness.
//!
//! Other runs go on beside this one, so each look is for what belongs to this one alone: its environment carries a mark
//! that everything it starts inherits, and a descriptor of its network namespace keeps that number from being used again.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use portwitness::sut::guardian::MARK;
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use crate::support::{Started, eventually};

/// By what the processes and the namespace of one run are known.
pub(super) struct Traces {
    mark: String,
    namespace: Mutex<Option<File>>,
}

impl Traces {
    pub(super) fn new() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        Self { mark: format!("test-{}-{number}", std::process::id()), namespace: Mutex::default() }
    }

    /// Marks a run before it is started.
    pub(super) fn mark<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env(MARK, &self.mark)
    }

    /// Takes hold of the namespace that a process is in, once that is another than the caller's.
    pub(super) fn hold_namespace_of(&self, pid: u32) -> bool {
        let own = fs::metadata("/proc/thread-self/ns/net").unwrap().ino();
        let other = File::open(format!("/proc/{pid}/ns/net")).ok().filter(|file| file.metadata().unwrap().ino() != own);
        let mut held = self.namespace.lock().unwrap();
        *held = held.take().or(other);
        held.is_some()
    }

    /// Everything of the run that is still there, in words.
    pub(super) fn left(&self) -> Vec<String> {
        let held = self.namespace.lock().unwrap();
        let inode = held.as_ref().map(|file| file.metadata().unwrap().ino());
        let own = std::process::id().to_string();
        let home = fs::metadata("/proc/self/ns/net").unwrap().ino();
        let mut left = Vec::new();
        for folder in numbered(Path::new("/proc")) {
            let process = Path::new("/proc").join(&folder);
            let said = || {
                let line = fs::read(process.join("cmdline")).unwrap_or_default();
                format!("process {folder} ({})", String::from_utf8_lossy(&line).replace('\0', " ").trim())
            };
            if carries(&fs::read(process.join("environ")).unwrap_or_default(), &self.mark) {
                left.push(format!("{} carries the mark", said()));
            }
            let Some(inode) = inode else { continue };
            let tasks = process.join("task");
            let is_in = |thread: &String| {
                fs::metadata(tasks.join(thread).join("ns/net")).is_ok_and(|namespace| namespace.ino() == inode)
            };
            if numbered(&tasks).iter().any(is_in) {
                left.push(format!("{} is in the network namespace", said()));
            }
            // The descriptor that holds it is this process's own. What other tests made namespaces for could not have one,
            // and to look at its descriptors could delay what it closes.
            let link = format!("net:[{inode}]");
            let in_ours = fs::metadata(process.join("ns/net")).is_ok_and(|file| [home, inode].contains(&file.ino()));
            let is_asked = folder != own && in_ours;
            let descriptors = if is_asked { numbered(&process.join("fd")) } else { Vec::new() };
            let descriptors = descriptors.into_iter();
            let mut links = descriptors.filter_map(|number| fs::read_link(process.join("fd").join(number)).ok());
            if links.any(|target| target == Path::new(&link)) {
                left.push(format!("{} has a descriptor of the network namespace", said()));
            }
            // A mount of the namespace, in whatever mount namespace that is.
            let mounts = fs::read_to_string(process.join("mountinfo")).unwrap_or_default();
            left.extend(mounts.lines().filter(|line| line.contains(&link)).map(|line| format!("mount {line}")));
        }
        left
    }

    /// Asserts that nothing is left, after what was killed had a moment to die.
    pub(super) fn assert_gone(&self) {
        let mut left = Vec::new();
        let gone = || {
            left = self.left();
            left.is_empty()
        };
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| eventually("nothing is left", gone)));
        assert!(waited.is_ok(), "left behind:\n{}", left.join("\n"));
    }
}

/// The entries of a folder of /proc that are numbers.
pub(super) fn numbered(folder: &Path) -> Vec<String> {
    let names =
        fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).collect()
}

fn carries(environment: &[u8], mark: &str) -> bool {
    let text = String::from_utf8_lossy(environment);
    let values = text.split('\0').filter_map(|variable| variable.strip_prefix(MARK)?.strip_prefix('='));
    values.into_iter().any(|value| value.split(':').any(|part| part == mark))
}

/// A process in the background, with no environment but what is set here.
fn sleeper(prepare: impl FnOnce(&mut Command) -> &mut Command) -> Started {
    let mut command = Command::new("/bin/sleep");
    prepare(command.arg("60").env_clear().stdin(Stdio::null()));
    Started(command.spawn().unwrap())
}

/// Asserts that what is left is found, and that it is no longer found once it is gone.
fn found(traces: &Traces, what: &str, leftover: Started) {
    eventually("it is found", || traces.left().iter().any(|left| left.contains(what)));
    drop(leftover);
    traces.assert_gone();
}

#[test]
fn a_process_with_the_mark_is_found() {
    let traces = Traces::new();
    traces.assert_gone();
    found(&traces, "carries the mark", sleeper(|command| traces.mark(command)));
    found(&traces, "carries the mark", sleeper(|command| command.env(MARK, format!("a:{}:b", traces.mark))));
    let other = sleeper(|command| command.env(MARK, format!("{}0", traces.mark)));
    assert_eq!(traces.left(), Vec::<String>::new());
    drop(other);
}

#[test]
fn a_process_in_the_namespace_is_found() {
    let traces = Traces::new();
    let inside = std::thread::scope(|scope| {
        let inside = || {
            portwitness::sut::hosts::enter_private().unwrap();
            sleeper(|command| command)
        };
        scope.spawn(inside).join().unwrap()
    });
    assert!(traces.hold_namespace_of(inside.0.id()));
    found(&traces, "is in the network namespace", inside);
}

#[test]
fn a_descriptor_of_the_namespace_is_found() {
    let traces = Traces::new();
    let namespace = std::thread::scope(|scope| {
        let inside = || {
            portwitness::sut::hosts::enter_private().unwrap();
            let tid = rustix::thread::gettid().as_raw_nonzero().get() as u32;
            assert!(!traces.hold_namespace_of(tid), "to itself, it is the caller's");
            File::open("/proc/thread-self/ns/net").unwrap()
        };
        scope.spawn(inside).join().unwrap()
    });
    *traces.namespace.lock().unwrap() = Some(namespace.try_clone().unwrap());
    found(&traces, "has a descriptor of the network namespace", sleeper(|command| command.stdin(namespace)));
}

#[test]
fn a_mount_of_the_namespace_is_found() {
    let traces = Traces::new();
    let here = File::open("/proc/thread-self/ns/net").unwrap();
    let place = tempfile::NamedTempFile::new().unwrap();
    let elsewhere = || {
        // SAFETY: changes which mounts this thread sees, and takes its working directory apart from the others'.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        portwitness::sut::hosts::enter_private().unwrap();
        mount_bind("/proc/thread-self/ns/net", place.path()).unwrap();
        *traces.namespace.lock().unwrap() = Some(File::open(place.path()).unwrap());
        move_into_link_name_space(here.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        // It sees the mount, and is not in the namespace itself.
        sleeper(|command| command)
    };
    let sleeper = std::thread::scope(|scope| scope.spawn(elsewhere).join().unwrap());
    found(&traces, "mount ", sleeper);
}
