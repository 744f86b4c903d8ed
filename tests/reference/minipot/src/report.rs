//! A report as MessagePack: a map with `ts`, `type`, `ip`, `action` and, for some, `data`, in this order.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{SystemTime, UNIX_EPOCH},
};

use rmp::encode::{ValueWriteError, write_bin, write_f64, write_map_len, write_str, write_uint};

use crate::{
    fault::{Fault, Faults},
    protocol::{Event, Kind},
};

/// An event with the rest of what its report says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report<'a> {
    /// The minipot.
    pub(crate) kind: Kind,
    /// The peer.
    pub(crate) ip: IpAddr,
    /// When the report is packed.
    pub(crate) now: SystemTime,
    /// What happened.
    pub(crate) event: &'a Event,
}

impl Report<'_> {
    /// The report's bytes.
    ///
    /// # Errors
    /// Never: memory takes everything.
    pub(crate) fn pack(&self, faults: Faults) -> Result<Vec<u8>, ValueWriteError> {
        let mut keys = vec!["ts", "type", "ip", "action"];
        if faults.has(Fault::WrongKeyOrder) {
            keys.swap(2, 3);
        }
        keys.extend((!self.event.data.is_empty()).then_some("data"));
        keys.extend(faults.has(Fault::ExtraField).then_some("port"));

        let mut bytes = Vec::with_capacity(128);
        write_map_len(&mut bytes, keys.len() as u32)?;
        for key in keys {
            write_str(&mut bytes, key)?;
            match key {
                "ts" => self.pack_ts(&mut bytes, faults)?,
                "type" if faults.has(Fault::WrongTypeWord) => {
                    write_str(&mut bytes, &self.kind.word().to_ascii_uppercase())?;
                }
                "type" => write_str(&mut bytes, self.kind.word())?,
                "ip" => write_str(&mut bytes, &self.ip(faults))?,
                "action" => write_str(&mut bytes, self.event.action)?,
                "data" => self.pack_data(&mut bytes, faults)?,
                _ => write_str(&mut bytes, "0")?,
            }
        }
        Ok(bytes)
    }

    fn pack_ts(&self, bytes: &mut Vec<u8>, faults: Faults) -> Result<(), ValueWriteError> {
        let seconds = self.now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        match faults.on() {
            Some(Fault::WrongTs) => write_uint(bytes, seconds - 5).map(drop),
            Some(Fault::FloatTs) => Ok(write_f64(bytes, seconds as f64)?),
            _ => write_uint(bytes, seconds).map(drop),
        }
    }

    fn ip(&self, faults: Faults) -> String {
        match (faults.on(), self.ip) {
            (Some(Fault::MappedIp), IpAddr::V4(ip)) => ip.to_ipv6_mapped().to_string(),
            (Some(Fault::WrongIp), IpAddr::V4(ip)) => Ipv4Addr::from_bits(ip.to_bits() ^ 1).to_string(),
            (_, ip) => ip.to_string(),
        }
    }

    fn pack_data(&self, bytes: &mut Vec<u8>, faults: Faults) -> Result<(), ValueWriteError> {
        let mut data: Vec<(&str, &str)> = self.event.data.iter().map(|(key, value)| (*key, value.as_str())).collect();
        match faults.on() {
            Some(Fault::WrongDataOrder) => data.reverse(),
            Some(Fault::MissingField) => data.retain(|(key, _)| *key != "password"),
            Some(Fault::WrongField) => {
                for (_, password) in data.iter_mut().filter(|(key, _)| *key == "password") {
                    let last = password.char_indices().next_back();
                    *password = last.map_or("", |(at, _)| &password[..at]);
                }
            }
            _ => {}
        }
        write_map_len(bytes, data.len() as u32)?;
        for (key, value) in data {
            write_str(bytes, key)?;
            if faults.has(Fault::BinForStr) {
                write_bin(bytes, value.as_bytes())?;
            } else {
                write_str(bytes, value)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    fn pack(event: &Event, fault: Fault) -> Vec<u8> {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        Report { kind: Kind::Ftp, ip: [127, 0, 0, 9].into(), now, event }.pack(Faults::new(Some(fault))).unwrap()
    }

    fn login() -> Event {
        Event::login(vec![("username", "me".into()), ("password", String::new())])
    }

    #[test]
    fn connect_has_four_keys_and_short_forms() {
        let expected = b"\x84\xa2ts\xce\x65\x53\xf1\x00\xa4type\xa3ftp\xa2ip\xa9127.0.0.9\xa6action\xa7connect";
        assert_eq!(pack(&Event::CONNECT, Fault::None).escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    #[test]
    fn login_has_data_of_text() {
        let packed = pack(&login(), Fault::None);
        assert_eq!(packed[0], 0x85);
        let data = b"\xa4data\x82\xa8username\xa2me\xa8password\xa0";
        assert!(packed.ends_with(data), "{}", packed.escape_ascii());
        let long = Event::login(vec![("username", "x".repeat(40)), ("password", "y".repeat(300))]);
        let packed = pack(&long, Fault::None);
        let has = |part: &[u8]| packed.windows(part.len()).any(|window| window == part);
        assert!(has(b"username\xd9\x28xx") && has(b"password\xda\x01\x2cyy"));
    }

    #[test]
    fn each_fault_changes_what_it_says() {
        let good = pack(&login(), Fault::None);
        for fault in [
            Fault::WrongTs,
            Fault::FloatTs,
            Fault::WrongKeyOrder,
            Fault::WrongDataOrder,
            Fault::BinForStr,
            Fault::MissingField,
            Fault::ExtraField,
            Fault::WrongTypeWord,
            Fault::WrongIp,
            Fault::MappedIp,
        ] {
            assert_ne!(pack(&login(), fault), good, "{fault:?}");
        }
        let login = Event::login(vec![("password", "pä".into())]);
        assert!(pack(&login, Fault::WrongField).ends_with(b"password\xa1p"));
    }
}
