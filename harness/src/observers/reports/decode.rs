//! From the frames of a message to what it says, strictly: what departs from the wire format is named, never mended.

use std::ops::Deref;

use rmpv::ValueRef;
use rmpv::decode::read_value_ref_with_max_depth;

use crate::history::{Flaw, Frame, Message, Report};

/// Keys of a report, in their order; `data` may be missing.
const KEYS: [&str; 5] = ["ts", "type", "ip", "action", "data"];
/// A report is shorter: the longest URL has 8192 bytes.
const LONGEST: usize = 1 << 20;
/// A report has a map in a map; what is nested deeper is not followed, for the stack has an end.
const DEEPEST: usize = 32;
/// A topic is shorter.
const LONGEST_TOPIC: usize = 256;
/// So much of an undecodable frame is kept.
const HEAD: usize = 256;
/// So many frames of an undecodable message are kept.
pub(super) const FRAMES: usize = 8;

/// What a message says. `frames` are its first ones, [`FRAMES`] at the most, `count` is how many it has.
pub(super) fn decode(frames: &[impl Deref<Target = [u8]>], count: usize) -> Message {
    let undecodable = |reason: String| Message::Undecodable {
        reason,
        frames: frames
            .iter()
            .map(|frame| {
                let frame: &[u8] = frame;
                Frame { length: frame.len() as u64, head: hex::encode(&frame[..frame.len().min(HEAD)]) }
            })
            .collect(),
    };
    match (frames, count) {
        ([topic], 1) => match topic_of(topic) {
            Ok(topic) => Message::Welcome { topic },
            Err(why) => undecodable(why),
        },
        ([topic, body], 2) => {
            let body: &[u8] = body;
            let topic = match topic_of(topic) {
                Ok(topic) => topic,
                Err(why) => return undecodable(why),
            };
            if body.len() > LONGEST {
                return undecodable(format!("its second frame has {} bytes", body.len()));
            }
            match report(body) {
                Ok((report, flaws)) => Message::Report { topic, report, flaws },
                Err(why) => undecodable(why),
            }
        }
        _ => undecodable(format!("it has {count} frames, not a topic and a report")),
    }
}

fn topic_of(frame: &[u8]) -> Result<String, String> {
    match std::str::from_utf8(frame) {
        Ok("") => Err("its topic is empty".into()),
        Ok(topic) if topic.len() <= LONGEST_TOPIC => Ok(topic.into()),
        Ok(topic) => Err(format!("its topic has {} bytes", topic.len())),
        Err(_) => Err("its topic is not UTF-8".into()),
    }
}

/// Fails for what is no MessagePack map at all.
fn report(body: &[u8]) -> Result<(Report, Vec<Flaw>), String> {
    let mut rest = body;
    let length = map_length(&mut rest).ok_or("its second frame is no MessagePack map")?;
    let mut reading = Reading::default();
    for _ in 0..length {
        let key = value(&mut rest)?;
        // The library reads a signed number that is not negative as it reads an unsigned one.
        let marker = rest.first().copied().unwrap_or_default();
        let value = value(&mut rest)?;
        reading.field(&key, &value, marker);
    }
    Ok(reading.end(rest.len()))
}

/// The number of entries of a map whose head stands at the beginning of `rest`.
fn map_length(rest: &mut &[u8]) -> Option<u64> {
    let (marker, after) = rest.split_first()?;
    let (bytes, length) = match marker {
        0x80..=0x8f => (0, u64::from(marker & 0x0f)),
        0xde => (2, u64::from(u16::from_be_bytes(after.get(..2)?.try_into().ok()?))),
        0xdf => (4, u64::from(u32::from_be_bytes(after.get(..4)?.try_into().ok()?))),
        _ => return None,
    };
    *rest = &after[bytes..];
    Some(length)
}

fn value<'a>(rest: &mut &'a [u8]) -> Result<ValueRef<'a>, String> {
    read_value_ref_with_max_depth(rest, DEEPEST).map_err(|error| format!("its second frame is no MessagePack: {error}"))
}

#[derive(Default)]
struct Reading {
    report: Report,
    keys: Vec<String>,
    flaws: Vec<Flaw>,
}

impl Reading {
    fn field(&mut self, key: &ValueRef<'_>, value: &ValueRef<'_>, marker: u8) {
        let key = self.text("a key", key);
        if !KEYS.contains(&key.as_str()) || self.keys.contains(&key) {
            self.flaws.push(Flaw::Unexpected { field: key });
            return;
        }
        match key.as_str() {
            "ts" => {
                // uint 8 to uint 64, or a positive fixint (MessagePack specification, int format family).
                let unsigned = marker < 0x80 || (0xcc..=0xcf).contains(&marker);
                self.report.ts = value.as_u64();
                if !unsigned || self.report.ts.is_none() {
                    self.wrong(
                        "ts",
                        "an unsigned number",
                        if matches!(value, ValueRef::Integer(_)) { "a signed number".into() } else { name(value) },
                    );
                }
            }
            "type" => self.report.kind = self.text("type", value),
            "ip" => self.report.ip = self.text("ip", value),
            "action" => self.report.action = self.text("action", value),
            _ => match value {
                ValueRef::Map(entries) => {
                    let entry = |(key, value): &(ValueRef<'_>, ValueRef<'_>)| {
                        let key = self.text("a key of data", key);
                        let value = self.text(&format!("data.{key}"), value);
                        (key, value)
                    };
                    self.report.data = Some(entries.iter().map(entry).collect());
                }
                other => self.wrong("data", "a map", name(other)),
            },
        }
        self.keys.push(key);
    }

    /// A str as text; what is none is named as a flaw, and read as well as it can be.
    fn text(&mut self, field: &str, value: &ValueRef<'_>) -> String {
        match value {
            ValueRef::String(text) => match text.as_str() {
                Some(text) => text.into(),
                None => {
                    self.wrong(field, "UTF-8", "str that is none".into());
                    String::from_utf8_lossy(text.as_bytes()).into_owned()
                }
            },
            ValueRef::Binary(bytes) => {
                self.wrong(field, "str", name(value));
                String::from_utf8_lossy(bytes).into_owned()
            }
            other => {
                self.wrong(field, "str", name(other));
                let mut text = other.to_string();
                text.truncate(text.char_indices().nth(HEAD).map_or(text.len(), |(at, _)| at));
                text
            }
        }
    }

    fn wrong(&mut self, field: &str, wanted: &str, found: String) {
        self.flaws.push(Flaw::WrongType { field: field.into(), wanted: wanted.into(), found });
    }

    fn end(mut self, left: usize) -> (Report, Vec<Flaw>) {
        for key in &KEYS[..4] {
            if !self.keys.iter().any(|found| found == key) {
                self.flaws.push(Flaw::Missing { field: (*key).into() });
            }
        }
        let place = |key: &String| KEYS.iter().position(|known| known == key);
        if !self.keys.is_sorted_by_key(place) {
            self.flaws.push(Flaw::KeyOrder { found: self.keys });
        }
        if left > 0 {
            self.flaws.push(Flaw::Trailing { bytes: left as u64 });
        }
        (self.report, self.flaws)
    }
}

fn name(value: &ValueRef<'_>) -> String {
    match value {
        ValueRef::Nil => "nil",
        ValueRef::Boolean(_) => "a boolean",
        ValueRef::Integer(_) => "a number",
        ValueRef::F32(_) | ValueRef::F64(_) => "a float",
        ValueRef::String(_) => "str",
        ValueRef::Binary(_) => "bin",
        ValueRef::Array(_) => "an array",
        ValueRef::Map(_) => "a map",
        ValueRef::Ext(..) => "an extension",
    }
    .into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use rmpv::Value;

    use super::*;

    fn packed(value: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, value).unwrap();
        bytes
    }

    fn map(entries: &[(&str, Value)]) -> Value {
        Value::Map(entries.iter().map(|(key, value)| ((*key).into(), value.clone())).collect())
    }

    fn login() -> Vec<(&'static str, Value)> {
        let data = map(&[("username", "u".into()), ("password", "".into())]);
        vec![
            ("ts", 17.into()),
            ("type", "ftp".into()),
            ("ip", "127.0.0.1".into()),
            ("action", "login".into()),
            ("data", data),
        ]
    }

    fn flaws(entries: &[(&str, Value)]) -> Vec<String> {
        match decode(&[b"t".to_vec(), packed(&map(entries))], 2) {
            Message::Report { flaws, .. } => flaws.iter().map(ToString::to_string).collect(),
            other => vec![format!("{other:?}")],
        }
    }

    #[test]
    fn a_report_is_read() {
        let data = Some(vec![("username".into(), "u".into()), ("password".into(), String::new())]);
        let report = Report { ts: Some(17), kind: "ftp".into(), ip: "127.0.0.1".into(), action: "login".into(), data };
        let read = decode(&[b"a/b".to_vec(), packed(&map(&login()))], 2);
        assert_eq!(read, Message::Report { topic: "a/b".into(), report, flaws: vec![] });
        assert_eq!(decode(&[b"a/b".to_vec()], 1), Message::Welcome { topic: "a/b".into() });
        assert_eq!(flaws(&login()[..4]), Vec::<String>::new(), "data may be missing");
    }

    #[test]
    fn each_departure_is_named() {
        let with = |at: usize, value: Value| {
            let mut entries = login();
            entries[at].1 = value;
            flaws(&entries)
        };
        assert_eq!(with(0, Value::F64(1.0)), ["`ts` is a float, not an unsigned number"]);
        assert_eq!(with(0, Value::from(-1)), ["`ts` is a signed number, not an unsigned number"]);
        assert_eq!(with(1, Value::Binary(b"ftp".to_vec())), ["`type` is bin, not str"]);
        assert_eq!(with(4, Value::Nil), ["`data` is nil, not a map"]);
        let bin = map(&[("username", Value::Binary(vec![1]))]);
        assert_eq!(with(4, bin), ["`data.username` is bin, not str"]);
        let mut swapped = login();
        swapped.swap(2, 3);
        assert_eq!(flaws(&swapped), ["its keys stand in the order ts, type, action, ip, data"]);
        assert_eq!(flaws(&login()[1..]), ["`ts` is missing"]);
        let longer = [login(), vec![("port", 5.into())]].concat();
        assert_eq!(flaws(&longer), ["`port` should not be there"]);
        let twice = [login(), vec![("ip", "::1".into())]].concat();
        assert_eq!(flaws(&twice), ["`ip` should not be there"]);
        let mut trailing = packed(&map(&login()));
        trailing.push(0);
        let Message::Report { flaws, .. } = decode(&[b"t".to_vec(), trailing], 2) else { panic!() };
        assert_eq!(flaws, [Flaw::Trailing { bytes: 1 }]);
        // int 8 with the value 17.
        let mut signed = packed(&map(&login()));
        assert_eq!(signed[4], 17);
        signed.splice(4..5, [0xd0, 17]);
        let Message::Report { flaws, report, .. } = decode(&[b"t".to_vec(), signed], 2) else { panic!() };
        assert_eq!((flaws.len(), report.ts), (1, Some(17)));
    }

    #[test]
    fn what_is_no_report_is_kept_as_it_came() {
        for (frames, why) in [
            (vec![b"t".to_vec(), vec![0xc0]], "no MessagePack map"),
            (vec![b"t".to_vec(), vec![0x81, 0xa2, b't']], "no MessagePack: "),
            (vec![b"t".to_vec(), vec![]], "no MessagePack map"),
            (vec![b"t".to_vec(), vec![0; LONGEST + 1]], "1048577 bytes"),
            (vec![vec![0xff]], "not UTF-8"),
            (vec![vec![], packed(&map(&login()))], "topic is empty"),
            (vec![b"t".to_vec(), packed(&map(&login())), vec![]], "3 frames"),
            (vec![], "0 frames"),
        ] {
            let Message::Undecodable { reason, frames: kept } = decode(&frames, frames.len()) else { panic!("{why}") };
            assert!(reason.contains(why), "{reason}");
            assert_eq!(kept.len(), frames.len());
            assert!(kept.iter().all(|frame| frame.head.len() <= 2 * HEAD));
        }
    }

    proptest! {
        #![proptest_config(crate::properties::config(2000))]

        #[test]
        fn no_bytes_make_it_panic(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..4)) {
            decode(&frames, frames.len());
        }

        #[test]
        fn nor_does_a_report_with_changed_bytes(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = packed(&map(&login()));
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            decode(&[b"t".to_vec(), bytes], 2);
        }
    }

    #[test]
    fn a_deep_nest_is_refused() {
        let mut bytes = vec![0x81, 0xa2, b't', b's'];
        bytes.extend(std::iter::repeat_n(0x91, 100_000));
        assert!(matches!(decode(&[b"t".to_vec(), bytes], 2), Message::Undecodable { .. }));
    }
}
