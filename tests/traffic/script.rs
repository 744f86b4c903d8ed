//! Makes system calls, and states each with the moments right before and right after it, as JSON lines.

use std::cell::RefCell;
use std::net::SocketAddr;

use portwitness::clock::Timestamp;
use portwitness::endpoint::Tgid;
use portwitness::history::{Address, Arguments, Process, Statement};

use crate::address::Name;

pub(crate) use portwitness::history::{BEGINS, ENDS};

thread_local! {
    /// Statements that are not written yet: between two calls that belong together nothing else is done.
    static STATED: RefCell<Vec<Statement>> = const { RefCell::new(Vec::new()) };
}

/// Makes a call and states it. `act` returns what the C library does: -1 for a failure.
pub(crate) fn call(name: &str, with: Arguments, act: impl FnOnce() -> i64) -> i64 {
    call_then(name, act, |_| with)
}

/// The same, where what it was about is known only afterwards.
pub(crate) fn call_then(name: &str, act: impl FnOnce() -> i64, with: impl FnOnce(i64) -> Arguments) -> i64 {
    let before = Timestamp::now();
    let returned = act();
    let error = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    let after = Timestamp::now();
    let result = if returned == -1 { -i64::from(error) } else { returned };
    state(name, Some(result), before, Some(after), with(result));
    result
}

/// States something that this thread did.
pub(crate) fn state(name: &str, result: Option<i64>, before: Timestamp, after: Option<Timestamp>, with: Arguments) {
    let tid = rustix::thread::gettid().as_raw_nonzero().get() as u32;
    let comm = rustix::thread::name().unwrap().to_str().unwrap().into();
    let process = Process { tgid: Tgid(std::process::id()), tid, comm };
    let parent = std::os::unix::process::parent_id();
    push(Statement { call: name.into(), process, parent, result, before, after, with });
}

/// States what has been made up elsewhere.
pub(crate) fn push(statement: Statement) {
    STATED.with_borrow_mut(|stated| stated.push(statement));
}

/// Lets go of what is not written yet.
pub(crate) fn forget() {
    STATED.take();
}

/// Writes what this thread has stated, in one piece a line: threads and processes share the pipe.
pub(crate) fn write_out() {
    for statement in STATED.take() {
        let mut line = serde_json::to_vec(&statement).unwrap();
        line.push(b'\n');
        assert_eq!(rustix::io::write(std::io::stdout(), &line), Ok(line.len()));
    }
}

/// From here on this thread states every call of a kind that it states.
pub(crate) fn begin() {
    let program = std::env::current_exe().unwrap().to_str().map(str::to_owned);
    let mut words = std::env::args();
    let executed_as = words.next();
    let with =
        Arguments { fd: Some(BEGINS), program, executed_as, arguments: Some(words.collect()), ..Arguments::default() };
    // SAFETY: nobody has a descriptor of this number.
    call("close", with, || unsafe { libc::close(BEGINS as i32) }.into());
}

/// From here on it does not.
pub(crate) fn end() {
    close(ENDS as i32);
    write_out();
}

/// A call of a socket's descriptor, whatever it is.
pub(crate) fn on(fd: i32) -> Arguments {
    Arguments { fd: Some(fd.into()), ..Arguments::default() }
}

pub(crate) fn socket(domain: i32, kind: i32, protocol: i32) -> i32 {
    let with = Arguments {
        domain: Some(domain.into()),
        kind: Some(kind.into()),
        protocol: Some(protocol.into()),
        ..Arguments::default()
    };
    // SAFETY: numbers alone.
    call("socket", with, || unsafe { libc::socket(domain, kind, protocol) }.into()) as i32
}

pub(crate) fn close(fd: i32) -> i64 {
    // SAFETY: no value of this program owns the descriptors that it closes.
    call("close", on(fd), || unsafe { libc::close(fd) }.into())
}

pub(crate) fn close_all<const N: usize>(fds: [i32; N]) {
    for fd in fds {
        close(fd);
    }
}

pub(crate) fn bind(fd: i32, to: &Name) -> i64 {
    let with = Arguments { address: Some(to.told.clone()), ..on(fd) };
    let (pointer, length) = to.raw();
    // SAFETY: pointer and length are those of an address that lives on, or meant to be refused.
    call("bind", with, || unsafe { libc::bind(fd, pointer, length) }.into())
}

pub(crate) fn listen(fd: i32, backlog: i32) -> i64 {
    let with = Arguments { backlog: Some(backlog.into()), ..on(fd) };
    // SAFETY: numbers alone.
    call("listen", with, || unsafe { libc::listen(fd, backlog) }.into())
}

pub(crate) fn connect(fd: i32, to: &Name) -> i64 {
    let (pointer, length) = to.raw();
    // SAFETY: as for bind.
    call_then(
        "connect",
        || unsafe { libc::connect(fd, pointer, length) }.into(),
        |_| Arguments { address: Some(to.told.clone()), local: local(fd), peer: peer(fd), ..on(fd) },
    )
}

/// accept(2); what it took in, and how many wait still.
pub(crate) fn accept(fd: i32, waiting: i64) -> i32 {
    let null = std::ptr::null_mut();
    // SAFETY: null pointers ask for no address.
    call_then("accept", || unsafe { libc::accept(fd, null, null.cast()) }.into(), |got| accepted(fd, got, waiting))
        as i32
}

pub(crate) fn accept4(fd: i32, flags: i32, waiting: i64) -> i32 {
    let null = std::ptr::null_mut();
    // SAFETY: as for accept.
    let act = || unsafe { libc::accept4(fd, null, null.cast(), flags) }.into();
    call_then("accept4", act, |got| Arguments { flags: Some(flags.into()), ..accepted(fd, got, waiting) }) as i32
}

fn accepted(fd: i32, got: i64, waiting: i64) -> Arguments {
    let got = if got < 0 { -1 } else { got as i32 };
    Arguments { local: local(got), peer: peer(got), waiting: Some(waiting), ..on(fd) }
}

pub(crate) fn shutdown(fd: i32, how: i32) -> i64 {
    let with = Arguments { how: Some(how.into()), ..on(fd) };
    // SAFETY: numbers alone.
    call("shutdown", with, || unsafe { libc::shutdown(fd, how) }.into())
}

/// The socket's own end, when it has one.
pub(crate) fn local(fd: i32) -> Option<Address> {
    // SAFETY: the kernel writes within `length`.
    end_of(|pointer, length| unsafe { libc::getsockname(fd, pointer, length) })
}

/// The other end, when there is one.
pub(crate) fn peer(fd: i32) -> Option<Address> {
    // SAFETY: the kernel writes within `length`.
    end_of(|pointer, length| unsafe { libc::getpeername(fd, pointer, length) })
}

fn end_of(ask: impl FnOnce(*mut libc::sockaddr, *mut libc::socklen_t) -> i32) -> Option<Address> {
    // SAFETY: all zeros is an address without a family.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    if ask(std::ptr::from_mut(&mut storage).cast(), &mut length) != 0 {
        return None;
    }
    crate::address::read(&storage, length as usize)
}

/// The port at which a socket is bound.
pub(crate) fn bound_at(fd: i32) -> SocketAddr {
    match local(fd) {
        Some(Address::Inet(at)) => at,
        other => panic!("{other:?} is no address of the internet"),
    }
}
