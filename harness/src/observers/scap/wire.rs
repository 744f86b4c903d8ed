//! Events as they lie in the ring: a header, the lengths of the parameters, the parameters.
//!
//! The numbers of events and the order of their parameters stand in `driver/ppm_events_public.h` and `driver/event_table.c`
//! of falcosecurity/libs. API 1 has an event at the entry of a call and one at its exit, and each parameter in one of them;
//! API 8 has the exit alone, with all parameters behind those of API 1, and the entry of connect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use compact_str::CompactString;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::endpoint::Endpoint;
use crate::history::{SyscallPhase, Tuple};

/// Bytes of a header (`struct ppm_evt_hdr`, packed).
pub(super) const HEADER: usize = 26;

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    /// CLOCK_REALTIME in ns.
    ts: U64,
    /// The thread, in the first pid namespace.
    tid: U64,
    /// Of the whole event, in bytes.
    length: U32,
    code: U16,
    parameters: U32,
}

const _: () = assert!(size_of::<Header>() == HEADER);

/// An event that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Garbage {
    #[error("shorter than a header, or than its parameters")]
    TooShort,
    #[error("event {code} lacks parameter {index}, or that is not of {bytes} bytes")]
    Parameter { code: u16, index: usize, bytes: usize },
}

/// An event that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// CLOCK_REALTIME in ns.
    pub(super) realtime: u64,
    /// The thread.
    pub(super) tid: u32,
    /// What happened.
    pub(super) what: What,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A system call was entered or left.
    Call(Call),
    /// clone, clone3, fork or vfork returned, in the parent and in the child.
    Cloned {
        /// 0 in the child; the child's thread in the parent; or a negated errno.
        result: i64,
        /// The thread that made it; in the child, that which it is the child of.
        parent: u32,
        /// The process that the returning thread belongs to.
        tgid: u32,
        /// `CLONE_*`, as the module numbers them.
        flags: u32,
        /// Name of the thread.
        comm: CompactString,
    },
    /// A program was executed.
    Executed {
        /// The process.
        tgid: u32,
        /// The thread that it is the child of.
        parent: u32,
        /// Name of the thread.
        comm: CompactString,
    },
    /// The thread ended.
    Exited,
    /// A CPU came or went: from one that came there are no events.
    Hotplug,
    /// Nothing that is of interest.
    Other,
}

/// A system call, as far as this event tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) phase: SyscallPhase,
    pub(super) fd: Option<i32>,
    pub(super) argument: Option<i64>,
    pub(super) address: Option<Endpoint>,
    pub(super) tuple: Option<Tuple>,
}

/// The thread belongs to the process of its maker (`PPM_CL_CLONE_THREAD`).
pub(super) const CLONE_THREAD: u32 = 1 << 13;

/// Where the parameters of a call are.
#[derive(Clone, Copy, Default)]
struct Shape {
    name: &'static str,
    exit: bool,
    fd: Option<usize>,
    argument: Option<usize>,
    address: Option<usize>,
    tuple: Option<usize>,
    /// Parameters without which the event makes no sense.
    least: usize,
}

const CLONE: [u16; 4] = [223, 225, 227, 335];
const EXECVE: [u16; 2] = [293, 331];
/// `PPME_PROCEXIT_1_E`
pub(super) const PROCEXIT: u16 = 186;
/// `PPME_CPU_HOTPLUG_E`
pub(super) const HOTPLUG: u16 = 244;

/// The calls' events of API 1, with which their numbers begin: `_E` is even, `_X` the next.
pub(super) const CALLS_1: [u16; 9] = [4, 18, 20, 22, 24, 36, 124, 246, 248];

/// Every number of an event that API 1 is asked for.
pub(super) fn wanted_1() -> impl Iterator<Item = u16> {
    let calls = CALLS_1.into_iter().flat_map(|enter| [enter, enter + 1]);
    calls.chain(CLONE).chain(EXECVE).chain([PROCEXIT, HOTPLUG])
}

fn shape(code: u16) -> Option<Shape> {
    let enter = |name, least| Shape { name, least, ..Shape::default() };
    let exit = |name| Shape { name, exit: true, least: 1, ..Shape::default() };
    let at = Some;
    Some(match code {
        4 => Shape { fd: at(0), ..enter("close", 1) },
        5 => Shape { fd: at(1), ..exit("close") },
        18 => enter("socket", 3),
        19 => exit("socket"),
        20 => Shape { fd: at(0), ..enter("bind", 1) },
        21 => Shape { address: at(1), fd: at(2), least: 2, ..exit("bind") },
        22 => Shape { fd: at(0), address: at(1), ..enter("connect", 2) },
        23 => Shape { tuple: at(1), fd: at(2), address: at(3), least: 2, ..exit("connect") },
        24 => Shape { fd: at(0), argument: at(1), ..enter("listen", 2) },
        25 => Shape { fd: at(1), argument: at(2), ..exit("listen") },
        36 => Shape { fd: at(0), argument: at(1), ..enter("shutdown", 2) },
        37 => Shape { fd: at(1), argument: at(2), ..exit("shutdown") },
        124 => Shape { fd: at(0), ..enter("dup", 1) },
        125 => exit("dup"),
        246 => enter("accept", 0),
        247 => Shape { tuple: at(1), least: 2, ..exit("accept") },
        248 | 388 => enter("accept4", 1),
        249 | 389 => Shape { tuple: at(1), least: 2, ..exit("accept4") },
        363 => Shape { fd: at(1), argument: at(2), least: 3, ..exit("dup2") },
        365 => Shape { fd: at(1), argument: at(2), least: 3, ..exit("dup3") },
        367 => Shape { fd: at(1), least: 2, ..exit("dup") },
        _ => return None,
    })
}

impl TryFrom<&[u8]> for Event {
    type Error = Garbage;

    fn try_from(bytes: &[u8]) -> Result<Self, Garbage> {
        let (header, rest) = Header::ref_from_prefix(bytes).map_err(|_| Garbage::TooShort)?;
        let parameters = Parameters::split(header.code.get(), header.parameters.get() as usize, rest)?;
        let what = parameters.what()?;
        Ok(Self { realtime: header.ts.get(), tid: header.tid.get() as u32, what })
    }
}

struct Parameters<'a> {
    code: u16,
    lengths: &'a [U16],
    values: &'a [u8],
}

impl<'a> Parameters<'a> {
    fn split(code: u16, count: usize, bytes: &'a [u8]) -> Result<Self, Garbage> {
        let (lengths, values) = <[U16]>::ref_from_prefix_with_elems(bytes, count).map_err(|_| Garbage::TooShort)?;
        let sum: usize = lengths.iter().map(|length| usize::from(length.get())).sum();
        if sum > values.len() {
            return Err(Garbage::TooShort);
        }
        Ok(Self { code, lengths, values })
    }

    /// A parameter's bytes; `None` when there are not so many parameters.
    fn get(&self, index: usize) -> Option<&'a [u8]> {
        let length = usize::from(self.lengths.get(index)?.get());
        let start: usize = self.lengths[..index].iter().map(|length| usize::from(length.get())).sum();
        self.values.get(start..start + length)
    }

    /// A number of 1, 4 or 8 bytes; those of 4 and 8 have a sign.
    fn number(&self, index: usize) -> Result<Option<i64>, Garbage> {
        let Some(bytes) = self.get(index) else { return Ok(None) };
        Ok(Some(match *bytes {
            [byte] => i64::from(byte),
            [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => return Err(Garbage::Parameter { code: self.code, index, bytes: 8 }),
        }))
    }

    fn must(&self, index: usize) -> Result<i64, Garbage> {
        self.number(index)?.ok_or(Garbage::Parameter { code: self.code, index, bytes: 8 })
    }

    fn text(&self, index: usize) -> CompactString {
        let bytes = self.get(index).unwrap_or_default();
        let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        CompactString::from_utf8_lossy(&bytes[..length])
    }

    fn what(&self) -> Result<What, Garbage> {
        let code = self.code;
        Ok(match code {
            PROCEXIT => What::Exited,
            HOTPLUG => What::Hotplug,
            code if CLONE.contains(&code) => What::Cloned {
                result: self.must(0)?,
                tgid: self.must(4)? as u32,
                parent: self.must(5)? as u32,
                comm: self.text(13),
                flags: self.must(15)? as u32,
            },
            code if EXECVE.contains(&code) && self.must(0)? < 0 => What::Other,
            code if EXECVE.contains(&code) => {
                What::Executed { tgid: self.must(4)? as u32, parent: self.must(5)? as u32, comm: self.text(13) }
            }
            code => match shape(code) {
                Some(shape) => What::Call(self.call(shape)?),
                None => What::Other,
            },
        })
    }

    fn call(&self, shape: Shape) -> Result<Call, Garbage> {
        if self.lengths.len() < shape.least {
            return Err(Garbage::Parameter { code: self.code, index: self.lengths.len(), bytes: 0 });
        }
        let number = |at: Option<usize>| at.map_or(Ok(None), |index| self.number(index));
        let bytes = |at: Option<usize>| at.and_then(|index| self.get(index));
        Ok(Call {
            name: shape.name,
            phase: if shape.exit { SyscallPhase::Exit(self.must(0)?) } else { SyscallPhase::Enter },
            fd: number(shape.fd)?.map(|fd| fd as i32),
            argument: number(shape.argument)?,
            address: bytes(shape.address).and_then(endpoint),
            tuple: bytes(shape.tuple).and_then(|bytes| tuple(shape.name, bytes)),
        })
    }
}

/// `PPM_AF_INET` and `PPM_AF_INET6`.
const INET: u8 = 2;
const INET6: u8 = 10;

/// A family, an address and a port in the order of the host; `None` for a family that is not IP, and for nothing.
fn endpoint(bytes: &[u8]) -> Option<Endpoint> {
    let (family, rest) = bytes.split_first()?;
    let (endpoint, rest) = half(*family, rest)?;
    rest.is_empty().then_some(endpoint)
}

/// A family and the two ends of a connection: that of the client first (`fd_to_socktuple` in `driver/ppm_events.c`).
fn tuple(call: &str, bytes: &[u8]) -> Option<Tuple> {
    let (family, rest) = bytes.split_first()?;
    let (source, rest) = half(*family, rest)?;
    let (destination, rest) = half(*family, rest)?;
    let of_client = call == "connect";
    let (local, remote) = if of_client { (source, destination) } else { (destination, source) };
    rest.is_empty().then_some(Tuple { local, remote })
}

fn half(family: u8, bytes: &[u8]) -> Option<(Endpoint, &[u8])> {
    let (address, rest) = match family {
        INET => {
            let (bytes, rest) = bytes.split_first_chunk::<4>()?;
            (IpAddr::V4(Ipv4Addr::from(*bytes)), rest)
        }
        INET6 => {
            let (bytes, rest) = bytes.split_first_chunk::<16>()?;
            (IpAddr::V6(Ipv6Addr::from(*bytes)), rest)
        }
        _ => return None,
    };
    let (port, rest) = rest.split_first_chunk::<2>()?;
    Some((Endpoint::new(address, u16::from_le_bytes(*port)), rest))
}

#[cfg(test)]
mod tests;
