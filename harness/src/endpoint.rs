//! Names of the things on a wire: addresses with ports, sockets, processes.

use std::fmt;
use std::net::{AddrParseError, IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An address and a port, IPv4 or IPv6; a v4-mapped IPv6 address (`::ffff:a.b.c.d`) is held as the IPv4 address that it means.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint(SocketAddr);

impl Endpoint {
    /// From an address and a port.
    pub fn new(address: IpAddr, port: u16) -> Self {
        Self(SocketAddr::new(address.to_canonical(), port))
    }

    /// From the 16 bytes of an IPv6 address, v4-mapped where it is IPv4.
    pub fn from_v6_bytes(address: [u8; 16], port: u16) -> Self {
        Self::new(IpAddr::V6(Ipv6Addr::from(address)), port)
    }

    /// The address.
    pub fn ip(self) -> IpAddr {
        self.0.ip()
    }

    /// The port, in host order.
    pub fn port(self) -> u16 {
        self.0.port()
    }

    /// As the standard library's type.
    pub fn socket_addr(self) -> SocketAddr {
        self.0
    }

    /// Whether a listener bound here is reached by a connect to `target`: the same port, and the same address or a
    /// wildcard. `[::]` covers IPv4 too unless the socket is IPv6 only (ipv6(7), IPV6_V6ONLY).
    pub fn covers(self, target: Self, ipv6_only: bool) -> bool {
        if self.port() != target.port() {
            return false;
        }
        match (self.ip(), target.ip()) {
            (own, other) if own == other => true,
            (IpAddr::V4(own), IpAddr::V4(_)) => own.is_unspecified(),
            (IpAddr::V6(own), IpAddr::V6(_)) => own.is_unspecified(),
            (IpAddr::V6(own), IpAddr::V4(_)) => own.is_unspecified() && !ipv6_only,
            (IpAddr::V4(_), IpAddr::V6(_)) => false,
        }
    }
}

impl Endpoint {
    /// Whether two sockets cannot listen at both at the same time, SO_REUSEPORT aside: the same port, and the same address
    /// or a wildcard on either side. Any two IPv6 sockets count as taking IPv4 connections too.
    pub fn collides(self, other: Self) -> bool {
        self.covers(other, false) || other.covers(self, false)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::new(address.ip(), address.port())
    }
}

impl FromStr for Endpoint {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<SocketAddr>().map(Self::from)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| serde::de::Error::custom(format!("`{text}` is not ADDRESS:PORT")))
    }
}

/// A socket in the kernel: its address there, alike for the socket's whole life and reused after it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u64);

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for SocketId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A number above 2^53 does not survive every JSON reader, so it is text.
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SocketId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.strip_prefix("0x")
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a socket (0x and hexadecimal digits)")))
    }
}

/// A process: the thread group's id, which user space calls pid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tgid(pub u32);

impl fmt::Display for Tgid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(text: &str) -> Endpoint {
        text.parse().unwrap()
    }

    #[test]
    fn a_v4_mapped_address_is_the_v4_address() {
        assert_eq!(at("[::ffff:127.0.0.1]:80"), at("127.0.0.1:80"));
    }

    #[test]
    fn wildcards_cover_what_a_connect_would_reach() {
        assert!(at("0.0.0.0:80").covers(at("127.0.0.1:80"), false));
        assert!(at("[::]:80").covers(at("127.0.0.1:80"), false));
        assert!(!at("[::]:80").covers(at("127.0.0.1:80"), true));
        assert!(at("[::]:80").covers(at("[::1]:80"), true));
        assert!(!at("0.0.0.0:80").covers(at("[::1]:80"), false));
        assert!(!at("127.0.0.2:80").covers(at("127.0.0.1:80"), false));
        assert!(!at("0.0.0.0:81").covers(at("127.0.0.1:80"), false));
    }

    #[test]
    fn a_wildcard_is_in_the_way_of_an_address_and_the_other_way_round() {
        for (one, other) in [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "127.0.0.1:80"), ("[::]:80", "0.0.0.0:80")] {
            assert!(at(one).collides(at(other)) && at(other).collides(at(one)), "{one} {other}");
        }
        for (one, other) in
            [("0.0.0.0:80", "127.0.0.1:81"), ("0.0.0.0:80", "[::1]:80"), ("127.0.0.1:80", "127.0.0.2:80")]
        {
            assert!(!at(one).collides(at(other)) && !at(other).collides(at(one)), "{one} {other}");
        }
    }

    proptest::proptest! {
        #![proptest_config(crate::properties::config(500))]

        #[test]
        fn an_endpoint_is_read_as_it_was_written(address: std::net::IpAddr, port: u16, text in crate::properties::text()) {
            let endpoint = Endpoint::new(address, port);
            proptest::prop_assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
            proptest::prop_assert_eq!(Endpoint::from(endpoint.socket_addr()), endpoint);
            if let Ok(other) = text.parse::<Endpoint>() {
                proptest::prop_assert_eq!(other.to_string().parse(), Ok(other));
            }
        }
    }

    #[test]
    fn names_survive_json() {
        let socket = SocketId(0xffff_8880_1234_5678);
        let json = serde_json::to_string(&(socket, at("[::1]:5"))).unwrap();
        assert_eq!(json, r#"["0xffff888012345678","[::1]:5"]"#);
        let back: (SocketId, Endpoint) = serde_json::from_str(&json).unwrap();
        assert_eq!(back, (socket, at("[::1]:5")));
        assert!(serde_json::from_str::<SocketId>("\"17\"").is_err());
        assert!(serde_json::from_str::<Endpoint>("\"localhost:1\"").is_err());
    }
}
