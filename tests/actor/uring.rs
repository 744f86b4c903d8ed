//! io_uring: ports that open and close, and connections that are accepted, without a system call of their own.

use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

use io_uring::{IoUring, Probe, opcode, squeue, types::Fd};

use crate::claim::Did;
use crate::script::{Plan, Script, Span};

/// A ring whose kernel knows these operations, or why there is none.
fn ring(needs: &[(u8, &str)]) -> Result<IoUring, String> {
    let ring = IoUring::new(8).map_err(|error| format!("no io_uring: {error}"))?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|error| format!("no probe of io_uring: {error}"))?;
    match needs.iter().find(|(code, _)| !probe.is_supported(*code)) {
        Some((_, name)) => Err(format!("no io_uring {name}")),
        None => Ok(ring),
    }
}

/// Carries one operation out.
fn submit(script: &Script, ring: &mut IoUring, entry: &squeue::Entry) -> (i32, Span) {
    let ((), span) = script.span(|| {
        // SAFETY: what the entry points to lives until the operation is over, which is waited for.
        unsafe { ring.submission().push(entry) }.unwrap();
        ring.submit_and_wait(1).unwrap();
    });
    (ring.completion().next().unwrap().result(), span)
}

/// The listener is closed by IORING_OP_CLOSE.
pub(crate) fn close(script: &Script) {
    let mut ring = match ring(&[(opcode::Close::CODE, "close")]) {
        Ok(ring) => ring,
        Err(reason) => return script.skip(reason),
    };
    let listener = script.opens(Plan::at("127.0.0.1:7401"));
    script.settle();
    let entry = opcode::Close::new(Fd(listener.fd.into_raw_fd())).build();
    let (result, span) = submit(script, &mut ring, &entry);
    assert_eq!(result, 0);
    script.claim(Did::Closed(listener.name), span);
    script.settle();
}

/// A connection is accepted by IORING_OP_ACCEPT.
pub(crate) fn accept(script: &Script) {
    let mut ring = match ring(&[(opcode::Accept::CODE, "accept"), (opcode::Close::CODE, "close")]) {
        Ok(ring) => ring,
        Err(reason) => return script.skip(reason),
    };
    let listener = script.opens(Plan::at("127.0.0.1:7402"));
    script.settle();
    let client = script.connects(listener.name.at);
    let none = std::ptr::null_mut();
    let entry = opcode::Accept::new(Fd(listener.fd.as_raw_fd()), none, none.cast()).build();
    let (accepted, _) = submit(script, &mut ring, &entry);
    assert!(accepted >= 0, "{accepted}");
    script.close(client);
    // SAFETY: the descriptor is new.
    script.close(unsafe { OwnedFd::from_raw_fd(accepted) });
    script.closes(listener);
}

/// Bound, listening and closed by the ring alone.
pub(crate) fn listen(script: &Script) {
    let needs = [(opcode::Bind::CODE, "bind"), (opcode::Listen::CODE, "listen"), (opcode::Close::CODE, "close")];
    let mut ring = match ring(&needs) {
        Ok(ring) => ring,
        Err(reason) => return script.skip(reason),
    };
    let made = Plan::at("127.0.0.1:7403").socket();
    let fd = Fd(made.as_raw_fd());
    // SAFETY: a sockaddr_in of zeros is a valid value of this plain C structure.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = libc::AF_INET as u16;
    address.sin_port = 7403_u16.to_be();
    address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
    let length = size_of::<libc::sockaddr_in>() as u32;
    let bind = opcode::Bind::new(fd, (&raw const address).cast(), length).build();
    assert_eq!(submit(script, &mut ring, &bind).0, 0);
    let (result, span) = submit(script, &mut ring, &opcode::Listen::new(fd, 8).build());
    assert_eq!(result, 0);
    let name = script.name(&made);
    script.claim(Did::Opened(name), span);
    script.settle();
    let close = opcode::Close::new(Fd(made.into_raw_fd())).build();
    let (result, span) = submit(script, &mut ring, &close);
    assert_eq!(result, 0);
    script.claim(Did::Closed(name), span);
    script.settle();
}
