//! Addresses as system calls take them, and what is stated of them.

use std::net::{IpAddr, SocketAddr};

use portwitness::history::Address;

/// An address that can be handed to the kernel.
pub(crate) struct Name {
    storage: Raw,
    length: libc::socklen_t,
    /// What is stated.
    pub(crate) told: Address,
}

enum Raw {
    There(Box<libc::sockaddr_storage>),
    /// The address space has nothing at this place.
    Nowhere,
}

impl Name {
    pub(crate) fn inet(at: SocketAddr) -> Self {
        let mut storage = zeroed();
        let length = match at.ip() {
            IpAddr::V4(ip) => {
                let name = libc::sockaddr_in {
                    sin_family: libc::AF_INET as u16,
                    sin_port: at.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
                    sin_zero: [0; 8],
                };
                put(&mut storage, name)
            }
            IpAddr::V6(ip) => {
                let name = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as u16,
                    sin6_port: at.port().to_be(),
                    sin6_flowinfo: 0,
                    sin6_addr: libc::in6_addr { s6_addr: ip.octets() },
                    sin6_scope_id: 0,
                };
                put(&mut storage, name)
            }
        };
        Self { storage: Raw::There(storage), length, told: Address::Inet(at) }
    }

    /// `ADDRESS:PORT`.
    pub(crate) fn at(text: &str) -> Self {
        Self::inet(text.parse().unwrap())
    }

    /// A unix socket's path; it is relative, as the working folder is the case's own.
    pub(crate) fn unix(path: &str) -> Self {
        let mut name = libc::sockaddr_un { sun_family: libc::AF_UNIX as u16, sun_path: [0; 108] };
        for (to, from) in name.sun_path.iter_mut().zip(path.bytes()) {
            *to = from as libc::c_char;
        }
        let mut storage = zeroed();
        put(&mut storage, name);
        let length = (size_of::<libc::sa_family_t>() + path.len() + 1) as libc::socklen_t;
        Self { storage: Raw::There(storage), length, told: Address::Unix(path.into()) }
    }

    /// A pointer to a page that is not there.
    pub(crate) fn nowhere() -> Self {
        Self { storage: Raw::Nowhere, length: 16, told: Address::Bad }
    }

    /// A family that no socket has.
    pub(crate) fn of_no_family() -> Self {
        let mut storage = zeroed();
        storage.ss_family = 44;
        Self { storage: Raw::There(storage), length: 16, told: Address::Bad }
    }

    /// AF_UNSPEC: dissolves a connection.
    pub(crate) fn unspecified() -> Self {
        Self { storage: Raw::There(zeroed()), length: 16, told: Address::Bad }
    }

    /// The same, cut short.
    pub(crate) fn shortened(self, length: libc::socklen_t) -> Self {
        Self { length, told: Address::Bad, ..self }
    }

    /// Pointer and length.
    pub(crate) fn raw(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        let pointer = match &self.storage {
            Raw::There(storage) => std::ptr::from_ref(&**storage).cast(),
            // Below vm.mmap_min_addr nothing is mapped.
            Raw::Nowhere => std::ptr::without_provenance(8),
        };
        (pointer, self.length)
    }
}

/// What the kernel wrote.
pub(crate) fn read(storage: &libc::sockaddr_storage, length: usize) -> Option<Address> {
    let pointer = std::ptr::from_ref(storage);
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says what it is, and the storage is large enough for each.
            let name = unsafe { &*pointer.cast::<libc::sockaddr_in>() };
            let ip = IpAddr::from(name.sin_addr.s_addr.to_ne_bytes());
            Some(Address::Inet(SocketAddr::new(ip, u16::from_be(name.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let name = unsafe { &*pointer.cast::<libc::sockaddr_in6>() };
            Some(Address::Inet(SocketAddr::new(IpAddr::from(name.sin6_addr.s6_addr), u16::from_be(name.sin6_port))))
        }
        libc::AF_UNIX => {
            // SAFETY: as above.
            let name = unsafe { &*pointer.cast::<libc::sockaddr_un>() };
            let bytes = name.sun_path.iter().take(length.saturating_sub(size_of::<libc::sa_family_t>()));
            let path = bytes.map(|byte| *byte as u8).take_while(|byte| *byte != 0).collect();
            Some(Address::Unix(String::from_utf8(path).unwrap()))
        }
        _ => None,
    }
}

fn zeroed() -> Box<libc::sockaddr_storage> {
    // SAFETY: all zeros is an address without a family.
    Box::new(unsafe { std::mem::zeroed() })
}

fn put<T>(storage: &mut libc::sockaddr_storage, name: T) -> libc::socklen_t {
    assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>());
    // SAFETY: it fits, and the storage is aligned for every kind of address.
    unsafe { std::ptr::from_mut(storage).cast::<T>().write(name) };
    size_of::<T>() as libc::socklen_t
}
