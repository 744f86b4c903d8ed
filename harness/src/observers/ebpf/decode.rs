//! From what lies on the ring to records of the history.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use compact_str::CompactString;
use portwitness_ebpf_common::{
    AF_INET, AF_INET6, Call, ConnectedRecord, DecodeError, Header, IPV6_ONLY, Message, PHASE_ENTER, ProcessRecord,
    REFUSED, SocketRecord, SyscallRecord,
};

use crate::clock::Timestamp;
use crate::endpoint::{Endpoint, SocketId, Tgid};
use crate::history::{
    Event, Process, ProcessChange, Record, SocketState, Source, Syscall, SyscallPhase, TcpState, Tuple,
};

/// An entry of the ring that says nothing this program understands.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Garbage {
    #[error(transparent)]
    Wire(#[from] DecodeError),
    #[error("unknown TCP state {0}")]
    State(u8),
    #[error("unknown address family {0} of a socket")]
    Family(u16),
    #[error("unknown system call {0}")]
    Call(u8),
}

/// A decoded entry.
#[derive(Debug)]
pub(super) struct Decoded {
    /// The record for the history.
    pub(super) record: Record,
    /// The thread that was running.
    pub(super) tid: u32,
    /// The CPU it was running on.
    pub(super) cpu: u32,
}

/// Decodes one entry.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, Garbage> {
    let (header, event) = match Message::try_from(bytes)? {
        Message::Socket(it) => (it.header, Event::SocketState(socket(&it)?)),
        Message::Syscall(it) => (it.header, Event::Syscall(syscall(&it)?)),
        Message::Connected(it) => (it.call.header, Event::Syscall(connected(&it)?)),
        Message::Fork(it) => (it.header, Event::Process(fork(&it))),
        Message::Exec(it) => (it.header, Event::Process(ProcessChange::Exec { process: process(&it.header) })),
        Message::Exit(it) => (it.header, Event::Process(exit(&it))),
    };
    let record = Record { at: Timestamp(header.at), uncertainty_ns: 0, source: Source::Ebpf, event };
    Ok(Decoded { record, tid: header.tid, cpu: header.cpu })
}

fn socket(record: &SocketRecord) -> Result<SocketState, Garbage> {
    let address = |words, port| endpoint(record.family, words, port).ok_or(Garbage::Family(record.family));
    Ok(SocketState {
        socket: SocketId(record.socket),
        netns: record.netns,
        local: address(record.local, record.local_port)?,
        remote: if record.remote_port == 0 { None } else { Some(address(record.remote, record.remote_port)?) },
        from: TcpState::try_from(record.from).map_err(Garbage::State)?,
        to: TcpState::try_from(record.to).map_err(Garbage::State)?,
        ipv6_only: record.family == AF_INET6 && record.flags & IPV6_ONLY != 0,
        refused: record.flags & REFUSED != 0,
        process: process(&record.header),
    })
}

fn syscall(record: &SyscallRecord) -> Result<Syscall, Garbage> {
    let call = Call::ALL.into_iter().find(|call| *call as u8 == record.call).ok_or(Garbage::Call(record.call))?;
    let entered = record.phase == PHASE_ENTER;
    Ok(Syscall {
        name: call.name().into(),
        phase: if entered { SyscallPhase::Enter } else { SyscallPhase::Exit(record.result) },
        fd: record.fd,
        argument: call.has_argument().then_some(record.argument),
        // None for a family that is not IP.
        address: endpoint(record.family, record.address, record.port),
        tuple: None,
        process: process(&record.header),
    })
}

fn connected(record: &ConnectedRecord) -> Result<Syscall, Garbage> {
    let end = |words, port| endpoint(record.family, words, port).ok_or(Garbage::Family(record.family));
    let (local, remote) = (end(record.local, record.local_port)?, end(record.remote, record.remote_port)?);
    Ok(Syscall { tuple: Some(Tuple { local, remote }), ..syscall(&record.call)? })
}

fn fork(record: &ProcessRecord) -> ProcessChange {
    ProcessChange::Fork { parent: process(&record.header), child: Tgid(record.child) }
}

fn exit(record: &ProcessRecord) -> ProcessChange {
    let status = (record.status_known != 0).then_some(record.status);
    ProcessChange::Exit { process: process(&record.header), status }
}

fn process(header: &Header) -> Process {
    process_of(header.tgid, header.tid, &header.comm)
}

/// A task by its process, its own number and its name, which ends at a zero.
pub(super) fn process_of(tgid: u32, tid: u32, comm: &[u8]) -> Process {
    let length = comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len());
    Process { tgid: Tgid(tgid), tid, comm: CompactString::from_utf8_lossy(&comm[..length]) }
}

/// An address of the kernel's: words in network order as they lie in memory, IPv4 in the first.
fn endpoint(family: u16, words: [u32; 4], port: u16) -> Option<Endpoint> {
    let ip = match family {
        AF_INET => IpAddr::V4(Ipv4Addr::from(words[0].to_ne_bytes())),
        AF_INET6 => {
            let mut bytes = [0; 16];
            for (bytes, word) in bytes.chunks_exact_mut(4).zip(words) {
                bytes.copy_from_slice(&word.to_ne_bytes());
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(Endpoint::new(ip, port))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use portwitness_ebpf_common::Kind;
    use proptest::prelude::*;

    use super::*;
    use crate::properties::config;

    fn words(bytes: [u8; 16]) -> [u32; 4] {
        std::array::from_fn(|i| {
            u32::from_ne_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]])
        })
    }

    fn listening(family: u16, local: [u32; 4]) -> SocketRecord {
        let header = Header { kind: Kind::SocketState as u32, comm: *b"a-name-of-15-by\0", ..Header::default() };
        SocketRecord { header, family, local, local_port: 80, from: 7, to: 10, ..SocketRecord::default() }
    }

    #[test]
    fn addresses_of_both_families_are_read() {
        let v4 = socket(&listening(AF_INET, words([127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))).unwrap();
        assert_eq!(v4.local, "127.0.0.1:80".parse().unwrap());
        assert_eq!((v4.remote, v4.process.comm.as_str()), (None, "a-name-of-15-by"));
        let v6 = socket(&listening(AF_INET6, words(Ipv6Addr::LOCALHOST.octets()))).unwrap();
        assert_eq!(v6.local, "[::1]:80".parse().unwrap());
        let mapped = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().octets();
        let mapped = socket(&listening(AF_INET6, words(mapped))).unwrap();
        assert_eq!(mapped.local, "10.0.0.1:80".parse().unwrap());
    }

    #[test]
    fn what_cannot_be_is_garbage() {
        assert_eq!(socket(&listening(1, [0; 4])), Err(Garbage::Family(1)));
        let state = SocketRecord { to: 99, ..listening(AF_INET, [0; 4]) };
        assert_eq!(socket(&state), Err(Garbage::State(99)));
        assert_eq!(syscall(&SyscallRecord::default()), Err(Garbage::Call(0)));
        assert!(matches!(decode(&[1, 2, 3]), Err(Garbage::Wire(DecodeError::TooShort { length: 3 }))));
    }

    #[test]
    fn both_ends_of_a_connection_are_read() {
        let call = SyscallRecord { call: Call::Accept4 as u8, phase: 1, result: 9, fd: 3, ..SyscallRecord::default() };
        let ends = |family, local, remote| ConnectedRecord {
            call,
            family,
            local,
            remote,
            local_port: 80,
            remote_port: 5000,
            ..ConnectedRecord::default()
        };
        let mapped = |last| words(Ipv4Addr::new(10, 0, 0, last).to_ipv6_mapped().octets());
        let read = connected(&ends(AF_INET6, mapped(1), mapped(2))).unwrap();
        let tuple = Tuple { local: "10.0.0.1:80".parse().unwrap(), remote: "10.0.0.2:5000".parse().unwrap() };
        assert_eq!((read.tuple, read.phase, read.name.as_str()), (Some(tuple), SyscallPhase::Exit(9), "accept4"));
        assert_eq!(connected(&ends(1, [0; 4], [0; 4])), Err(Garbage::Family(1)));
    }

    #[test]
    fn a_unix_address_is_none() {
        let record = SyscallRecord { call: Call::Bind as u8, family: 1, fd: 3, ..SyscallRecord::default() };
        assert_eq!(syscall(&record).unwrap().address, None);
    }

    proptest! {
        #![proptest_config(config(2000))]

        #[test]
        fn any_entry_is_a_record_or_garbage(kind in 0u32..8, bytes in prop::collection::vec(any::<u8>(), 0..130)) {
            let _ = decode(&bytes);
            // The same with a kind that is known, and as long as that is.
            let mut bytes = bytes;
            bytes.resize([0, 96, 88, 56, 56, 56, 128, 30][kind as usize], 7);
            if let Some(field) = bytes.get_mut(8..12) {
                field.copy_from_slice(&kind.to_ne_bytes());
            }
            match decode(&bytes) {
                Ok(decoded) => {
                    prop_assert_eq!(&decoded.record.at.0.to_ne_bytes()[..], &bytes[..8]);
                    let line = serde_json::to_string(&decoded.record).unwrap();
                    prop_assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), decoded.record);
                }
                Err(garbage) => prop_assert!(!garbage.to_string().is_empty()),
            }
        }
    }
}
