//! Sockets that listen, of every kind, one after the other and many at once.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};

use crate::claim::{Did, Name};
use crate::processes::fork;
use crate::script::{Plan, Script, lacks_ipv6, result};

/// How many listen at once, at the ports from `FIRST`.
const MANY: u16 = 10_000;
const FIRST: u16 = 20_000;

/// IPPROTO_MPTCP (include/uapi/linux/in.h).
const MPTCP: u32 = 262;

/// Opened, closed.
pub(crate) fn plain(script: &Script) {
    let listener = script.opens(Plan::at("127.0.0.1:7001"));
    script.settle();
    script.closes(listener);
}

/// Opened and closed again and again, at one port.
pub(crate) fn again(script: &Script) {
    for _ in 0..if script.lockstep { 3 } else { 200 } {
        plain(script);
    }
}

/// Four sockets at one address, closed in another order.
pub(crate) fn reuse_port(script: &Script) {
    let plan = Plan { reuse_port: true, ..Plan::at("127.0.0.1:7002") };
    let mut four: Vec<_> = (0..4)
        .map(|_| {
            let listener = script.opens(plan);
            script.settle();
            listener
        })
        .collect();
    for index in [2, 0, 1, 0] {
        script.closes(four.remove(index));
    }
}

fn one(script: &Script, plan: Plan) {
    if plan.at.is_ipv6() && lacks_ipv6() {
        return script.skip("no IPv6");
    }
    let listener = script.opens(plan);
    script.settle();
    script.closes(listener);
}

pub(crate) fn ipv6(script: &Script) {
    one(script, Plan::at("[::1]:7003"));
}

pub(crate) fn dual_stack(script: &Script) {
    one(script, Plan::at("[::]:7004"));
}

pub(crate) fn ipv6_only(script: &Script) {
    one(script, Plan { v6_only: true, ..Plan::at("[::]:7005") });
}

pub(crate) fn v4_mapped(script: &Script) {
    one(script, Plan::at("[::ffff:127.0.0.1]:7006"));
}

pub(crate) fn port_zero(script: &Script) {
    one(script, Plan::at("127.0.0.1:0"));
}

/// listen(2) binds by itself.
pub(crate) fn without_bind(script: &Script) {
    let listener = script.listens(Plan::at("0.0.0.0:0").socket());
    script.settle();
    script.closes(listener);
}

/// The same port in a namespace of a child's own.
pub(crate) fn two_namespaces(script: &Script) {
    // The wildcard, since a new namespace has no address.
    let plan = Plan::at("0.0.0.0:7007");
    let ours = script.opens(plan);
    let mut child = fork(script, |turn| {
        // SAFETY: the child's copy, which it does not use otherwise.
        script.close(unsafe { OwnedFd::from_raw_fd(ours.fd.as_raw_fd()) });
        // SAFETY: CLONE_NEWNET changes the thread's network namespace alone, no memory and no file descriptors.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.unwrap();
        let theirs = script.opens(plan);
        turn.pause();
        script.closes(theirs);
        let again = script.opens(plan);
        turn.pause();
        script.closes(again);
    });
    child.reached();
    script.settle();
    child.go();
    child.reached();
    script.closes(ours);
    child.go();
    child.ends(script);
}

/// A unix socket listens too.
pub(crate) fn unix(script: &Script) {
    let made = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    let name = format!("portwitness-actor-{}", std::process::id());
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap();
    let fd = made.as_raw_fd();
    assert_eq!(script.call("bind", fd, || result(bind(&made, &address))).0, 0);
    assert_eq!(script.call("listen", fd, || result(listen(&made, 8))).0, 0);
    script.close(made);
    script.settle();
}

/// Bound, and closed without ever listening.
pub(crate) fn bound_only(script: &Script) {
    let bound = Plan::at("127.0.0.1:7008").bind(script);
    script.settle();
    script.close(bound);
    script.settle();
}

/// listen(2) a second time changes the backlog alone.
pub(crate) fn second_listen(script: &Script) {
    let listener = script.opens(Plan::at("127.0.0.1:7009"));
    let fd = listener.fd.as_raw_fd();
    assert_eq!(script.call("listen", fd, || result(listen(&listener.fd, 64))).0, 0);
    script.settle();
    script.closes(listener);
}

/// Two may be bound to one address, the second may not listen there. The kernel lets it listen before it looks
/// (inet_csk_listen_start, Linux 6.18).
pub(crate) fn refused_listen(script: &Script) {
    let plan = Plan { reuse_address: true, ..Plan::at("127.0.0.1:7010") };
    let (first, second) = (plan.bind(script), plan.bind(script));
    let first = script.listens(first);
    script.settle();
    let name = script.name(&second);
    let (refused, span) = script.call("listen", second.as_raw_fd(), || result(listen(&second, 8)));
    assert_eq!(refused, -i64::from(libc::EADDRINUSE));
    if !script.lockstep {
        // Too short for an observer that polls.
        script.claim(Did::Opened(name), span);
        script.claim(Did::Refused(name), span);
    }
    script.close(second);
    script.settle();
    script.closes(first);
}

/// Closed with connections that nobody accepted: close(2) takes long, the port is gone at its beginning.
pub(crate) fn unaccepted(script: &Script) {
    let listener = script.opens(Plan::at("127.0.0.1:7011"));
    let clients: Vec<OwnedFd> = (0..200).map(|_| script.connects(listener.name.at)).collect();
    script.settle();
    script.closes(listener);
    for client in clients {
        script.close(client);
    }
}

/// A listener of MPTCP has one of TCP underneath.
pub(crate) fn mptcp(script: &Script) {
    let protocol = rustix::net::Protocol::from_raw(MPTCP.try_into().unwrap());
    match socket(AddressFamily::INET, SocketType::STREAM, Some(protocol)) {
        Ok(probe) => script.close(probe),
        Err(error) => return script.skip(format!("no MPTCP: {error} (net.mptcp.enabled)")),
    };
    one(script, Plan { protocol: Some(protocol), ..Plan::at("127.0.0.1:7012") });
}

/// Ten thousand at once.
pub(crate) fn many(script: &Script) {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    let needed = u64::from(MANY) + 100;
    if limit.maximum.is_some_and(|most| most < needed) {
        return script.skip(format!("fewer than {needed} descriptors allowed (RLIMIT_NOFILE)"));
    }
    let at = |index: u16| Plan::at(&format!("127.0.0.1:{}", FIRST + index));
    let all: Vec<_> = (0..MANY).map(|index| script.opens(at(index))).collect();
    script.settle();
    for listener in all {
        let span = script.close(listener.fd);
        script.claim(Did::Closed(listener.name), span);
    }
    script.settle();
}

/// There before anybody watches; some stay, some go.
pub(crate) fn older(script: &Script) {
    let shared = Plan { reuse_port: true, ..Plan::at("127.0.0.1:7013") };
    let mut plans = vec![Plan::at("127.0.0.1:7014"), Plan::at("0.0.0.0:7015"), shared, shared];
    if !lacks_ipv6() {
        let both = Plan::at("[::]:7016");
        plans.extend([both, Plan { v6_only: true, ..Plan::at("[::]:7017") }, Plan::at("[::ffff:127.0.0.1]:7018")]);
    }
    let mut all: Vec<_> = plans.iter().map(|plan| script.opens(*plan)).collect();
    // Closed again before anybody watches.
    let passing = script.opens(Plan::at("127.0.0.1:7019"));
    let span = script.close(passing.fd);
    script.claim(Did::Closed(passing.name), span);
    script.pause();
    let staying = all.remove(0);
    for listener in all {
        script.closes(listener);
    }
    let Name { at, .. } = staying.name;
    script.closes(staying);
    // The same address once more, now seen from its beginning.
    let anew = script.opens(Plan::at(&at.to_string()));
    script.settle();
    script.closes(anew);
}
