//! What else than close(2) takes the last descriptor of a listener away, or only seems to.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, shutdown, socketpair,
};

use crate::claim::{By, Did};
use crate::processes::clone;
use crate::script::{Plan, Script, now, result};

/// How long the kernel may take to find what nobody can reach any more.
const GARBAGE_DEADLINE: std::time::Duration = std::time::Duration::from_secs(20);

/// close(2) of one of two descriptors is misleading.
pub(crate) fn duplicate(script: &Script) {
    let listener = script.opens(Plan::at("127.0.0.1:7101"));
    let copy = listener.fd.try_clone().unwrap();
    script.close(listener.fd);
    script.settle();
    let span = script.close(copy);
    script.claim(Did::Closed(listener.name), span);
    script.settle();
}

/// Another file takes the descriptor's place.
pub(crate) fn replaced(script: &Script) {
    let null = std::fs::File::open("/dev/null").unwrap();
    let over = |name: &str, at: &str, dup: &dyn Fn(i32, i32) -> i64| {
        let listener = script.opens(Plan::at(at));
        script.settle();
        let (new, old) = (listener.fd.as_raw_fd(), null.as_raw_fd());
        let (result, span) = script.call(name, old, || dup(old, new));
        assert_eq!(result, i64::from(new));
        script.claim(Did::Closed(listener.name), span);
        script.settle();
        // No socket any more.
        drop(listener.fd);
    };
    // dup2 is a call of its own on x86 alone.
    // SAFETY: both descriptors are open, and stay owned by whom they were.
    #[cfg(target_arch = "x86_64")]
    over("dup2", "127.0.0.1:7102", &|old, new| unsafe { libc::dup2(old, new) }.into());
    // SAFETY: see above.
    over("dup3", "127.0.0.1:7103", &|old, new| unsafe { libc::dup3(old, new, libc::O_CLOEXEC) }.into());
}

/// A range of descriptors is closed at once.
pub(crate) fn close_range(script: &Script) {
    let pair = [script.opens(Plan::at("127.0.0.1:7104")), script.opens(Plan::at("127.0.0.1:7105"))];
    script.settle();
    let names = pair.each_ref().map(|listener| listener.name);
    let fds = pair.map(|listener| std::os::fd::IntoRawFd::into_raw_fd(listener.fd));
    let (first, last) = (fds[0].min(fds[1]), fds[0].max(fds[1]));
    assert_eq!(last, first + 1, "nothing else is in the range");
    // SAFETY: the two descriptors were given away above.
    let close = || unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    let (result, span) = script.call("close_range", first, close);
    assert_eq!(result, 0);
    for name in names {
        script.claim(Did::Closed(name), span);
    }
    script.settle();
}

/// shutdown(2): for reading it closes the port, and the socket may listen once more.
pub(crate) fn shut_down(script: &Script) {
    let listener = script.opens(Plan::at("127.0.0.1:7106"));
    let fd = listener.fd.as_raw_fd();
    let shut = |how| script.call("shutdown", fd, || result(shutdown(&listener.fd, how)));
    let (writing, _) = shut(rustix::net::Shutdown::Write);
    assert_eq!(writing, 0, "a listener takes no notice (inet_shutdown)");
    script.settle();
    let (reading, span) = shut(rustix::net::Shutdown::Read);
    assert_eq!(reading, 0);
    script.claim(Did::Closed(listener.name), span);
    script.settle();
    let again = script.listens(listener.fd);
    script.settle();
    let (both, span) = script.call("shutdown", fd, || result(shutdown(&again.fd, rustix::net::Shutdown::Both)));
    assert_eq!(both, 0);
    script.claim(Did::Closed(again.name), span);
    // Nothing is left to be closed.
    script.close(again.fd);
    script.settle();
}

/// connect(2) to no address dissolves a listener (inet_stream_connect with AF_UNSPEC).
pub(crate) fn dissolved(script: &Script) {
    let listener = script.opens(Plan::at("127.0.0.1:7107"));
    script.settle();
    let fd = listener.fd.as_raw_fd();
    let dissolve = || result(rustix::net::connect_unspec(&listener.fd));
    let (outcome, span) = script.call("connect", fd, dissolve);
    assert_eq!(outcome, 0);
    script.claim(Did::Closed(listener.name), span);
    script.close(listener.fd);
    script.settle();
}

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
}

fn send(through: &OwnedFd, descriptors: &[std::os::fd::BorrowedFd<'_>]) {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(descriptors)));
    sendmsg(through, &[std::io::IoSlice::new(b"x")], &mut ancillary, SendFlags::empty()).unwrap();
}

/// Sent, and never received: it goes with the socket in whose queue it lies.
pub(crate) fn in_flight(script: &Script) {
    let listener = script.opens(Plan::at("127.0.0.1:7108"));
    let (from, to) = pair();
    send(&from, &[listener.fd.as_fd()]);
    script.close(listener.fd);
    script.settle();
    script.close(from);
    script.settle();
    let span = script.close(to);
    script.claim(Did::Closed(listener.name), span);
    script.settle();
}

/// Sent and received: it lives on under another number.
pub(crate) fn handed_over(script: &Script) {
    let listener = script.opens(Plan::at("127.0.0.1:7109"));
    let (from, to) = pair();
    send(&from, &[listener.fd.as_fd()]);
    script.close(listener.fd);
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(&to, &mut [std::io::IoSliceMut::new(&mut [0])], &mut ancillary, RecvFlags::empty()).unwrap();
    let received = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    script.close(from);
    script.close(to);
    script.settle();
    let span = script.close(received.unwrap());
    script.claim(Did::Closed(listener.name), span);
    script.settle();
}

/// Sent through a socket that was sent through itself: nobody can reach it, and the kernel's collector finds it
/// (net/unix/garbage.c), in a task of its own.
pub(crate) fn garbage(script: &Script) {
    let listener = script.opens(Plan::at("127.0.0.1:7110"));
    let (from, to) = pair();
    send(&from, &[listener.fd.as_fd(), to.as_fd()]);
    script.close(listener.fd);
    script.close(from);
    script.settle();
    let span = script.close(to);
    let collected = || !listens_at(7110);
    let began = std::time::Instant::now();
    while !collected() {
        assert!(began.elapsed() < GARBAGE_DEADLINE, "the listener was not collected");
        // The collector is woken by the next unix socket that is closed.
        script.close(rustix::net::socket(AddressFamily::UNIX, SocketType::DGRAM, None).unwrap());
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    script.claim_by(Did::Closed(listener.name), span.before, Some(now()), By::default());
    script.settle();
}

/// Whether /proc shows a listener at this port of 127.0.0.1.
fn listens_at(port: u16) -> bool {
    const LISTEN: &str = "0A";
    let local = format!("0100007F:{port:04X}");
    let table = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
    table.lines().any(|line| {
        let mut columns = line.split_whitespace().skip(1);
        columns.next() == Some(&local) && columns.nth(1) == Some(LISTEN)
    })
}

/// Two processes share one table of descriptors: what the child closes is closed for both.
pub(crate) fn shared_table(script: &Script) {
    let listener = script.opens(Plan::at("127.0.0.1:7111"));
    script.settle();
    let fd = std::os::fd::IntoRawFd::into_raw_fd(listener.fd);
    let child = clone(script, libc::CLONE_FILES, || {
        // SAFETY: the descriptor was given away above.
        let span = script.close(unsafe { OwnedFd::from_raw_fd(fd) });
        script.claim(Did::Closed(listener.name), span);
    });
    child.ends(script);
    script.settle();
}
