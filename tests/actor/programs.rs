//! exec: the actor goes on as another program, which is itself.

use std::ffi::{CString, c_char};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use serde::{Deserialize, Serialize};

use crate::claim::{By, Did, Name};
use crate::script::{Listener, Plan, Script, now};

unsafe extern "C" {
    static environ: *const *const c_char;
}

/// What the program that goes on has to know.
#[derive(Serialize, Deserialize)]
pub(crate) struct Continuation {
    /// How it goes on.
    pub(crate) step: String,
    /// It was not executed yet at this moment.
    pub(crate) since: u64,
    /// Descriptors on which it and its parent wait for each other.
    pub(crate) gate: Option<(i32, i32)>,
    /// Listeners that it inherits.
    inherited: Vec<(i32, Name)>,
    /// Listeners that exec closes.
    closed: Vec<Name>,
    lockstep: bool,
    listeners: u32,
}

/// A program and its arguments, in memory until it is executed.
pub(crate) struct Program {
    arguments: Vec<CString>,
}

impl Continuation {
    pub(crate) fn new(step: &str, script: &Script) -> Self {
        Self {
            step: step.into(),
            since: now(),
            gate: None,
            inherited: Vec::new(),
            closed: Vec::new(),
            lockstep: script.lockstep,
            listeners: script.listeners(),
        }
    }

    pub(crate) fn with_gate(self, gate: (i32, i32)) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// The script, as it goes on.
    pub(crate) fn script(&self) -> Script {
        Script::new(self.lockstep, self.listeners)
    }

    /// This program, to go on like this.
    pub(crate) fn program(&self) -> Program {
        let json = serde_json::to_string(self).unwrap();
        let own = std::env::current_exe().unwrap().into_os_string().into_vec();
        Program { arguments: [own, b"continue".to_vec(), json.into()].map(|part| CString::new(part).unwrap()).into() }
    }

    /// Claims the execution and what it closed, by the program's new name.
    fn arrived(&self, script: &Script, names: &[&str]) {
        let (after, own) = (Some(now()), By::this_thread());
        for name in names {
            let by = By { comm: Some((*name).into()), ..own.clone() };
            script.claim_by(Did::Executed, self.since, after, by);
        }
        for name in &self.closed {
            script.claim_by(Did::Closed(*name), self.since, after, own.clone());
        }
    }

    fn listeners(&self) -> Vec<Listener> {
        // SAFETY: the descriptors were inherited for this.
        let own = |fd| unsafe { OwnedFd::from_raw_fd(fd) };
        self.inherited.iter().map(|(fd, name)| Listener { fd: own(*fd), name: *name }).collect()
    }
}

impl Program {
    /// The same, by way of a shell.
    fn through_shell(mut self) -> Self {
        let shell = [c"/bin/sh", c"-c", c"exec \"$0\" \"$@\""].map(CString::from);
        self.arguments.splice(0..0, shell);
        self
    }

    fn pointers(&self) -> Vec<*const c_char> {
        self.arguments.iter().map(|part| part.as_ptr()).chain([std::ptr::null()]).collect()
    }

    /// Becomes the program; returns only when that fails.
    pub(crate) fn execute(&self) {
        let arguments = self.pointers();
        // SAFETY: the arguments are strings and end with a null pointer.
        unsafe { libc::execve(arguments[0], arguments.as_ptr(), environ) };
    }

    /// The pid of a child that runs the program.
    pub(crate) fn spawn(&self) -> i32 {
        let arguments = self.pointers();
        let mut pid = 0;
        let (none, no_attributes) = (std::ptr::null(), std::ptr::null());
        // SAFETY: see above; the signature of posix_spawn asks for pointers to mutable characters and writes to none.
        let error = unsafe {
            libc::posix_spawn(&mut pid, arguments[0], none, no_attributes, arguments.as_ptr().cast(), environ.cast())
        };
        assert_eq!(error, 0, "posix_spawn");
        pid
    }
}

/// The name that the kernel gives this program when it is executed (TASK_COMM_LEN).
pub(crate) fn comm() -> String {
    let own = std::env::current_exe().unwrap();
    own.file_name().unwrap().to_str().unwrap().chars().take(15).collect()
}

/// Keeps a listener open over exec, or not.
fn inherit(listener: &Listener, yes: bool) {
    let flags = if yes { rustix::io::FdFlags::empty() } else { rustix::io::FdFlags::CLOEXEC };
    rustix::io::fcntl_setfd(&listener.fd, flags).unwrap();
}

/// Three programs in one process, the second by way of a shell: a listener that goes with the first exec, one that
/// lives through both, one that goes with the process.
pub(crate) fn chain(script: &Script) {
    let (kept, dropped) = (script.opens(Plan::at("127.0.0.1:7301")), script.opens(Plan::at("127.0.0.1:7302")));
    inherit(&dropped, false);
    script.settle();
    let mut next = Continuation::new("chain-2", script);
    next.inherited = vec![(kept.fd.as_raw_fd(), kept.name)];
    next.closed = vec![dropped.name];
    next.program().execute();
    unreachable!("exec: {}", std::io::Error::last_os_error());
}

/// The second program of [`chain`].
pub(crate) fn chain_2(script: &Script, continuation: &Continuation) {
    continuation.arrived(script, &[&comm()]);
    script.settle();
    let mut all = continuation.listeners();
    all.push(script.opens(Plan::at("127.0.0.1:7303")));
    script.settle();
    let mut next = Continuation::new("chain-3", script);
    next.inherited = all.iter().map(|listener| (listener.fd.as_raw_fd(), listener.name)).collect();
    next.program().through_shell().execute();
    unreachable!("exec: {}", std::io::Error::last_os_error());
}

/// The third.
pub(crate) fn chain_3(script: &Script, continuation: &Continuation) {
    continuation.arrived(script, &["sh", &comm()]);
    script.settle();
    let mut all = continuation.listeners().into_iter();
    script.closes(all.next().unwrap());
    let last = all.next().unwrap();
    script.claim_by(Did::Closed(last.name), now(), None, By::this_thread());
    // It is left to the end of the process.
    std::mem::forget(last);
}

/// A thread that is not the first becomes another program: it takes the process's number over.
pub(crate) fn exec_by_thread(script: &Script) {
    let dropped = script.opens(Plan::at("127.0.0.1:7304"));
    inherit(&dropped, false);
    script.settle();
    let mut next = Continuation::new("after-thread", script);
    next.closed = vec![dropped.name];
    let program = next.program();
    std::thread::scope(|scope| scope.spawn(|| program.execute()).join()).unwrap();
    unreachable!("exec: {}", std::io::Error::last_os_error());
}

/// The far side of [`exec_by_thread`].
pub(crate) fn after_thread(script: &Script, continuation: &Continuation) {
    continuation.arrived(script, &[&comm()]);
    script.settle();
    let listener = script.opens(Plan::at("127.0.0.1:7304"));
    script.settle();
    script.closes(listener);
}
