//! A client that says what it is told, and knows what it wants to hear.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::system::SOON;

/// A connection; every read and write has a deadline.
pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, SOON).unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Sends.
    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Reads as many bytes as `expected` has, and they must be these.
    pub(crate) fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut heard = vec![0; expected.len()];
        let mut length = 0;
        while length < heard.len() {
            match self.stream.read(&mut heard[length..]) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) => panic!("{error} after {}", heard[..length].escape_ascii()),
            }
        }
        let heard = heard[..length].escape_ascii().to_string();
        assert_eq!(heard, expected.escape_ascii().to_string());
    }

    /// Sends a line, and expects one.
    pub(crate) fn ask(&mut self, line: &str, expected: &str) {
        self.say(format!("{line}\r\n"));
        self.expect(format!("{expected}\r\n"));
    }

    /// Reads a line, without its CRLF.
    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).unwrap();
            line.extend(byte);
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    /// Reads an HTTP answer; returns its code.
    pub(crate) fn answer(&mut self) -> u16 {
        let code = self.line().split(' ').nth(1).unwrap().parse().unwrap();
        let mut length = 0;
        loop {
            let header = self.line();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("Content-Length: ") {
                length = value.parse().unwrap();
            }
        }
        // A 414 announces one byte more than it has.
        self.stream.read_exact(&mut vec![0; if code == 414 { length - 1 } else { length }]).unwrap();
        code
    }

    /// Whether the peer closes, and says nothing, within `limit`.
    pub(crate) fn ends_within(&mut self, limit: Duration) -> bool {
        self.stream.set_read_timeout(Some(limit)).unwrap();
        let ended = match self.stream.read(&mut [0; 64]) {
            Ok(0) => true,
            Ok(_) => panic!("it was not the end"),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => true,
            Err(error) => panic!("{error}"),
        };
        self.stream.set_read_timeout(Some(SOON)).unwrap();
        ended
    }

    /// Whether the peer closes soon.
    pub(crate) fn ends(&mut self) -> bool {
        self.ends_within(SOON)
    }

    /// Whether the peer neither speaks nor closes for a moment.
    pub(crate) fn is_silent(&mut self) -> bool {
        !self.ends_within(Duration::from_millis(300))
    }
}
