//! The proxy's side: a PULL socket that binds, and what the reports in its messages say.

use std::{
    fs,
    ops::RangeInclusive,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rmpv::Value;

use crate::system::{SOON, TOPIC};

/// A PULL socket.
pub(crate) struct Proxy {
    socket: zmq::Socket,
    /// No report that it gets is older, in seconds since 1970.
    since: u64,
}

impl Proxy {
    /// Binds it, open to everybody.
    pub(crate) fn bind(address: &str) -> Self {
        Self::bind_with_room_for(1000, address)
    }

    /// The same, where at most so many messages wait to be read.
    pub(crate) fn bind_with_room_for(messages: i32, address: &str) -> Self {
        let socket = zmq::Context::new().socket(zmq::PULL).unwrap();
        socket.set_rcvhwm(messages).unwrap();
        socket.bind(address).unwrap();
        let path = address.strip_prefix("ipc://").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        // Some were made while it was not there.
        Self { socket, since: now() - SOON.as_secs() }
    }

    /// The next message, if one comes within `limit`.
    pub(crate) fn next(&mut self, limit: Duration) -> Option<Vec<Vec<u8>>> {
        self.socket.set_rcvtimeo(limit.as_millis() as i32).unwrap();
        match self.socket.recv_multipart(0) {
            Ok(frames) => Some(frames),
            Err(zmq::Error::EAGAIN) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The next report, which must come soon, in the correct form, as text: `type ip action key=value...`.
    pub(crate) fn report(&mut self) -> String {
        self.report_within(SOON).expect("no report came")
    }

    /// The same, if one comes within `limit`.
    pub(crate) fn report_within(&mut self, limit: Duration) -> Option<String> {
        // A report may have waited long where there are many.
        let made = self.since..=now() + 1;
        self.next(limit).map(|frames| checked(&frames, &made).unwrap_or_else(|wrong| panic!("{wrong}: {frames:?}")))
    }

    /// The next reports.
    pub(crate) fn reports(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.report()).collect()
    }

    /// Fails when a message comes.
    pub(crate) fn is_quiet(&mut self) {
        assert_eq!(self.next(Duration::from_millis(300)), None);
    }
}

/// The report that a message carries, or what is wrong with its form.
pub(crate) fn correct(frames: &[Vec<u8>]) -> Result<String, String> {
    checked(frames, &(now() - 2..=now() + 2))
}

/// The same, of a report that was made in one of these seconds.
fn checked(frames: &[Vec<u8>], made: &RangeInclusive<u64>) -> Result<String, String> {
    let [topic, report] = frames else { return Err(format!("{} frames", frames.len())) };
    if topic != TOPIC.as_bytes() {
        return Err(format!("topic {}", topic.escape_ascii()));
    }
    let map = decode(report);
    let keys: Vec<&str> = map.iter().map(|(key, _)| key.as_str()).collect();
    if keys != ["ts", "type", "ip", "action", "data"][..keys.len().clamp(4, 5)] {
        return Err(format!("keys {keys:?}"));
    }
    let ts = map[0].1.as_u64().ok_or("ts is no unsigned integer")?;
    if !made.contains(&ts) {
        return Err(format!("ts {ts} at {}", now()));
    }
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or(format!("{value:?} is no str"));
    let mut words = map[1..4].iter().map(|(_, value)| text(value)).collect::<Result<Vec<String>, String>>()?;
    for (key, value) in map.get(4).map(|(_, data)| data.as_map().unwrap().as_slice()).unwrap_or_default() {
        words.push(format!("{}={}", text(key)?, text(value)?));
    }
    Ok(words.join(" "))
}

/// The map that a report is.
pub(crate) fn decode(mut report: &[u8]) -> Vec<(String, Value)> {
    let value = rmpv::decode::read_value(&mut report).unwrap();
    assert!(report.is_empty(), "bytes after the map");
    let Value::Map(map) = value else { panic!("no map") };
    map.into_iter().map(|(key, value)| (key.as_str().unwrap().to_owned(), value)).collect()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
