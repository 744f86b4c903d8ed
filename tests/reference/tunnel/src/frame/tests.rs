//! Every frame survives the wire, and what is no frame is refused.

#![allow(clippy::unwrap_used)]
use super::*;

fn one_of_each() -> Vec<Frame> {
    vec![
        Frame::Hello { client: 2 },
        Frame::Welcome,
        Frame::Role(Role::Active),
        Frame::Role(Role::Standby),
        Frame::Open { stream: 1, tunnel: "server-to-client-tun1".into() },
        Frame::Data { stream: u32::MAX, payload: Bytes::from(vec![7; MAX_PAYLOAD]) },
        Frame::Credit { stream: 4, amount: 131_072 },
        Frame::Finish { stream: 5 },
        Frame::Close { stream: 6 },
    ]
}

#[test]
fn every_frame_survives_the_wire() {
    for frame in one_of_each() {
        assert_eq!(Frame::decode(frame.encode()), Ok(frame));
    }
}

#[test]
fn data_buffer_is_a_data_frame_without_a_copy() {
    let mut buffer = data_buffer(9, 3);
    buffer.put_slice(b"abc");
    let message = buffer.freeze();
    let Frame::Data { stream: 9, payload } = Frame::decode(message.clone()).unwrap() else { panic!("no data frame") };
    assert_eq!(payload.as_ptr(), message[HEADER..].as_ptr());
    assert_eq!(payload, "abc");
}

#[test]
fn names_what_is_wrong() {
    let decode = |bytes: &[u8]| Frame::decode(Bytes::copy_from_slice(bytes)).unwrap_err();
    assert_eq!(decode(&[]), FrameError::Short(0));
    assert_eq!(decode(&[5, 0, 0, 0]), FrameError::Short(4));
    assert_eq!(decode(&vec![5; MAX_FRAME + 1]), FrameError::Long(MAX_FRAME + 1));
    assert_eq!(decode(&[0, 0, 0, 0, 1]), FrameError::Kind(0));
    assert_eq!(decode(&[9, 0, 0, 0, 1]), FrameError::Kind(9));
    assert_eq!(decode(&[1, 0, 0, 0, 1, 77]), FrameError::Version(77));
    assert_eq!(decode(&[4, 0, 0, 0, 1]), FrameError::Body(4));
    assert_eq!(decode(&[4, 0, 0, 0, 1, 0xff]), FrameError::Body(4));
    assert_eq!(decode(&[5, 0, 0, 0, 1]), FrameError::Body(5));
    assert_eq!(decode(&[6, 0, 0, 0, 1, 0, 0, 0]), FrameError::Body(6));
}

/// A xorshift generator: the same garbage in every run.
struct Garbage(u64);

impl Garbage {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn garbage_is_refused_or_means_exactly_itself() {
    let mut garbage = Garbage(0x5eed);
    let mut accepted = 0;
    for _ in 0..200_000 {
        let length = garbage.next() % 12;
        let mut bytes: Vec<u8> = (0..length).map(|_| garbage.next() as u8).collect();
        if let Some(kind) = bytes.first_mut() {
            *kind %= 10;
        }
        let message = Bytes::from(bytes);
        if let Ok(frame) = Frame::decode(message.clone()) {
            accepted += 1;
            let same = frame.encode();
            // Frames without a stream ignore their number; everything else must come back byte for byte.
            assert_eq!((same[0], &same[HEADER..]), (message[0], &message[HEADER..]), "{frame:?}");
        }
    }
    assert!(accepted > 10_000, "only {accepted} messages were frames: the garbage is too wild to test much");
}

#[test]
fn damaged_frames_never_panic() {
    let mut garbage = Garbage(0xbad);
    for frame in one_of_each() {
        let message = frame.encode();
        for _ in 0..2_000 {
            let mut bytes = message[..message.len().min(64)].to_vec();
            let position = garbage.next() as usize % bytes.len();
            bytes[position] ^= garbage.next() as u8;
            bytes.truncate(garbage.next() as usize % (bytes.len() + 1));
            let _ = Frame::decode(bytes.into());
        }
    }
}
