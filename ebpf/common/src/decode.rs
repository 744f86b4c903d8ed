//! From the bytes of a ring-buffer entry to a record.

use core::fmt;

use zerocopy::FromBytes;

use crate::record::{ConnectedRecord, Header, Kind, ProcessRecord, SocketRecord, SyscallRecord};

/// A decoded entry of the ring.
#[derive(Clone, Copy, Debug)]
pub enum Message {
    /// A socket changed its state.
    Socket(SocketRecord),
    /// A system call began or ended.
    Syscall(SyscallRecord),
    /// accept or connect ended with a socket that has another end.
    Connected(ConnectedRecord),
    /// A child was made.
    Fork(ProcessRecord),
    /// A program was executed.
    Exec(ProcessRecord),
    /// The last thread of a process is gone.
    Exit(ProcessRecord),
}

/// An entry that no program of this version writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Shorter than a header.
    TooShort {
        /// Bytes that there are.
        length: usize,
    },
    /// A kind that is not known.
    UnknownKind {
        /// Its number.
        kind: u32,
    },
    /// Not as long as its kind is.
    WrongLength {
        /// The kind's number.
        kind: u32,
        /// Bytes that there should be.
        expected: usize,
        /// Bytes that there are.
        length: usize,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { length } => write!(f, "an entry of {length} bytes is shorter than a header"),
            Self::UnknownKind { kind } => write!(f, "unknown kind of record {kind}"),
            Self::WrongLength { kind, expected, length } => {
                write!(f, "a record of kind {kind} has {length} bytes instead of {expected}")
            }
        }
    }
}

impl core::error::Error for DecodeError {}

impl TryFrom<&[u8]> for Message {
    type Error = DecodeError;

    fn try_from(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (header, _) = Header::read_from_prefix(bytes).map_err(|_| DecodeError::TooShort { length: bytes.len() })?;
        let kind = header.kind;
        Ok(match kind {
            k if k == Kind::SocketState as u32 => Self::Socket(whole(kind, bytes)?),
            k if k == Kind::Syscall as u32 => Self::Syscall(whole(kind, bytes)?),
            k if k == Kind::Connected as u32 => Self::Connected(whole(kind, bytes)?),
            k if k == Kind::Fork as u32 => Self::Fork(whole(kind, bytes)?),
            k if k == Kind::Exec as u32 => Self::Exec(whole(kind, bytes)?),
            k if k == Kind::Exit as u32 => Self::Exit(whole(kind, bytes)?),
            kind => return Err(DecodeError::UnknownKind { kind }),
        })
    }
}

fn whole<T: FromBytes>(kind: u32, bytes: &[u8]) -> Result<T, DecodeError> {
    T::read_from_bytes(bytes).map_err(|_| DecodeError::WrongLength {
        kind,
        expected: size_of::<T>(),
        length: bytes.len(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use zerocopy::IntoBytes;

    use super::*;

    fn exit(kind: u32) -> ProcessRecord {
        ProcessRecord { header: Header { at: 7, kind, ..Header::default() }, status: 9, ..ProcessRecord::default() }
    }

    #[test]
    fn a_record_survives_the_way_through_bytes() {
        let record = exit(Kind::Exit as u32);
        let Message::Exit(back) = Message::try_from(record.as_bytes()).unwrap() else { panic!("not an exit") };
        assert_eq!((back.header.at, back.status), (7, 9));
    }

    #[test]
    fn garbage_is_named() {
        let at = |bytes: &[u8]| Message::try_from(bytes).unwrap_err();
        assert_eq!(at(&[0; 39]), DecodeError::TooShort { length: 39 });
        assert_eq!(at(exit(77).as_bytes()), DecodeError::UnknownKind { kind: 77 });
        assert_eq!(
            at(exit(Kind::SocketState as u32).as_bytes()),
            DecodeError::WrongLength { kind: 1, expected: 96, length: 56 }
        );
    }

    #[test]
    fn an_unaligned_entry_is_read_too() {
        let mut bytes = [0; 57];
        bytes[1..].copy_from_slice(exit(Kind::Fork as u32).as_bytes());
        assert!(matches!(Message::try_from(&bytes[1..]), Ok(Message::Fork(_))));
    }
}
