//! A ring in files instead of a module: the tests' kernel side.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use super::ring::{InfoLayout, Ring};

/// A page of counters and the data, twice in a row, as the module would have them.
pub(super) struct Fake {
    info: File,
    data: File,
    size: usize,
    head: usize,
}

pub(super) const LAYOUT: InfoLayout = InfoLayout { faults: 24, preemptions: 32, counts_preempted: true };

impl Fake {
    pub(super) fn new(size: usize) -> Self {
        let (info, data) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        info.set_len(4096).unwrap();
        data.set_len(2 * size as u64).unwrap();
        Self { info, data, size, head: 0 }
    }

    pub(super) fn ring(&self) -> Ring {
        Ring::map(self.info.as_fd(), self.data.as_fd(), self.size, LAYOUT).unwrap()
    }

    /// Writes as the module does: false, and counted, when there is no room.
    pub(super) fn write(&mut self, bytes: &[u8]) -> bool {
        self.count(8);
        let used = (self.head + self.size - self.u32(4) as usize) % self.size;
        if bytes.len() > self.size - used - 1 {
            self.count(16);
            return false;
        }
        for (at, byte) in bytes.iter().enumerate() {
            let at = (self.head + at) % self.size;
            for copy in [at, at + self.size] {
                self.data.write_all_at(&[*byte], copy as u64).unwrap();
            }
        }
        self.set_head((self.head + bytes.len()) % self.size);
        true
    }

    pub(super) fn set_head(&mut self, head: usize) {
        self.head = head;
        self.info.write_all_at(&(head as u32).to_le_bytes(), 0).unwrap();
    }

    pub(super) fn count(&self, at: u64) {
        let mut bytes = [0; 8];
        self.info.read_exact_at(&mut bytes, at).unwrap();
        self.info.write_all_at(&(u64::from_le_bytes(bytes) + 1).to_le_bytes(), at).unwrap();
    }

    pub(super) fn u32(&self, at: u64) -> u32 {
        let mut bytes = [0; 4];
        self.info.read_exact_at(&mut bytes, at).unwrap();
        u32::from_le_bytes(bytes)
    }
}

/// An event as the module writes it.
pub(super) fn event(realtime: u64, tid: u64, code: u16, parameters: &[&[u8]]) -> Vec<u8> {
    let sum: usize = parameters.iter().map(|parameter| parameter.len()).sum();
    let length = 26 + 2 * parameters.len() + sum;
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(realtime.to_le_bytes());
    bytes.extend(tid.to_le_bytes());
    bytes.extend((length as u32).to_le_bytes());
    bytes.extend(code.to_le_bytes());
    bytes.extend((parameters.len() as u32).to_le_bytes());
    parameters.iter().for_each(|parameter| bytes.extend((parameter.len() as u16).to_le_bytes()));
    parameters.iter().for_each(|parameter| bytes.extend(*parameter));
    bytes
}

/// A number of 8 bytes.
pub(super) fn number(value: i64) -> [u8; 8] {
    value.to_le_bytes()
}
