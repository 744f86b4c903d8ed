//! The wire format between server and client: one frame a binary WebSocket message.
//!
//! A frame is a kind (1 byte), a number (4 bytes, big endian: the stream, or the client in `Hello`) and a body, which depends on
//! the kind.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// Version of this format; server and client must agree.
pub(crate) const VERSION: u8 = 1;
/// Bytes before a frame's body.
pub(crate) const HEADER: usize = 5;
/// Largest payload of one data frame, in bytes.
pub(crate) const MAX_PAYLOAD: usize = 64 * 1024;
/// Largest frame, in bytes.
pub(crate) const MAX_FRAME: usize = HEADER + MAX_PAYLOAD;
/// Longest tunnel name, in bytes.
const MAX_NAME: usize = 255;

/// Number of a stream in its link: odd when the client opened it, even when the server did.
pub(crate) type StreamId = u32;

/// What a client is, as the server decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The server's ports lead to this client.
    Active,
    /// Another client is active: this one closes its ports for a while.
    Standby,
}

/// One message between server and client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A client introduces itself; its first frame.
    Hello { client: u32 },
    /// The server knows the client now; the answer to `Hello`.
    Welcome,
    /// The server tells a client what it is from now on.
    Role(Role),
    /// A connection came in: open a stream to the backend of this tunnel.
    Open { stream: StreamId, tunnel: String },
    /// The next bytes of a stream.
    Data { stream: StreamId, payload: Bytes },
    /// The receiver has taken this much off the stream's window.
    Credit { stream: StreamId, amount: u32 },
    /// No more data will follow in this direction.
    Finish { stream: StreamId },
    /// The stream is over in both directions.
    Close { stream: StreamId },
}

/// Why a message is no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// The message ends inside the header.
    #[error("frame of {0} bytes is shorter than its header")]
    Short(usize),
    /// The message is longer than any frame.
    #[error("frame of {0} bytes is longer than {MAX_FRAME}")]
    Long(usize),
    /// No kind has this number.
    #[error("unknown frame kind {0}")]
    Kind(u8),
    /// The body does not fit the kind.
    #[error("malformed body in frame kind {0}")]
    Body(u8),
    /// The other side speaks another version.
    #[error("protocol version {0}, expected {VERSION}")]
    Version(u8),
}

/// The first number that no kind has.
const UNASSIGNED: u8 = kind::CLOSE + 1;

mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const WELCOME: u8 = 2;
    pub(super) const ROLE: u8 = 3;
    pub(super) const OPEN: u8 = 4;
    pub(super) const DATA: u8 = 5;
    pub(super) const CREDIT: u8 = 6;
    pub(super) const FINISH: u8 = 7;
    pub(super) const CLOSE: u8 = 8;
}

impl Frame {
    /// The frame as a message.
    pub(crate) fn encode(&self) -> Bytes {
        match self {
            Self::Hello { client } => message(kind::HELLO, *client, &[VERSION]),
            Self::Welcome => message(kind::WELCOME, 0, &[]),
            Self::Role(role) => message(kind::ROLE, 0, &[u8::from(*role == Role::Active)]),
            Self::Open { stream, tunnel } => message(kind::OPEN, *stream, tunnel.as_bytes()),
            Self::Data { stream, payload } => message(kind::DATA, *stream, payload),
            Self::Credit { stream, amount } => message(kind::CREDIT, *stream, &amount.to_be_bytes()),
            Self::Finish { stream } => message(kind::FINISH, *stream, &[]),
            Self::Close { stream } => message(kind::CLOSE, *stream, &[]),
        }
    }

    /// Reads a message; a payload is a slice of it, not a copy.
    ///
    /// # Errors
    /// When the message is no frame of this version.
    pub(crate) fn decode(mut message: Bytes) -> Result<Self, FrameError> {
        let length = message.len();
        if length < HEADER {
            return Err(FrameError::Short(length));
        }
        if length > MAX_FRAME {
            return Err(FrameError::Long(length));
        }
        let kind = message.get_u8();
        let stream = message.get_u32();
        let body = message;
        let malformed = FrameError::Body(kind);
        match kind {
            kind::HELLO => match body[..] {
                [VERSION] => Ok(Self::Hello { client: stream }),
                [version] => Err(FrameError::Version(version)),
                _ => Err(malformed),
            },
            kind::WELCOME if body.is_empty() => Ok(Self::Welcome),
            kind::ROLE => match body[..] {
                [0] => Ok(Self::Role(Role::Standby)),
                [1] => Ok(Self::Role(Role::Active)),
                _ => Err(malformed),
            },
            kind::OPEN => match std::str::from_utf8(&body) {
                Ok(tunnel) if (1..=MAX_NAME).contains(&tunnel.len()) => {
                    Ok(Self::Open { stream, tunnel: tunnel.to_owned() })
                }
                _ => Err(malformed),
            },
            kind::DATA if !body.is_empty() => Ok(Self::Data { stream, payload: body }),
            kind::CREDIT => match body[..].try_into() {
                Ok(amount) => Ok(Self::Credit { stream, amount: u32::from_be_bytes(amount) }),
                Err(_) => Err(malformed),
            },
            kind::FINISH if body.is_empty() => Ok(Self::Finish { stream }),
            kind::CLOSE if body.is_empty() => Ok(Self::Close { stream }),
            ..kind::HELLO | UNASSIGNED.. => Err(FrameError::Kind(kind)),
            _ => Err(malformed),
        }
    }
}

/// An empty data frame with room for `capacity` bytes of payload, so that a socket can be read right behind the header.
pub(crate) fn data_buffer(stream: StreamId, capacity: usize) -> BytesMut {
    let mut buffer = BytesMut::with_capacity(HEADER + capacity);
    buffer.put_u8(kind::DATA);
    buffer.put_u32(stream);
    buffer
}

fn message(kind: u8, number: u32, body: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(HEADER + body.len());
    message.put_u8(kind);
    message.put_u32(number);
    message.put_slice(body);
    message.freeze()
}

#[cfg(test)]
mod tests;
