//! A bare relay of ours: what a round trip costs on this machine at this moment, without any system under test.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::endpoint::Endpoint;

/// Bytes that are carried at a time.
const BUFFER: usize = 64 * 1024;

/// A chain of threads that carries one connection over loopback, hop by hop, to an echo at its end, and back. With two
/// hops it wakes as many threads a round trip as a tunnel of two processes with its backend.
pub struct Relay {
    entry: SocketAddr,
}

impl Relay {
    /// Listens on 127.0.0.1, on ports that the kernel chooses, in the network of the calling thread.
    pub fn start(hops: usize) -> io::Result<Self> {
        let mut next = None;
        for _ in 0..=hops {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let entry = listener.local_addr()?;
            let onwards = next.replace(entry);
            thread::Builder::new().name("relay".into()).spawn(move || match onwards {
                // Whatever ends a connection ends both halves; its client tells of it.
                Some(onwards) => drop(carry(listener, onwards)),
                None => drop(echo(listener)),
            })?;
        }
        let entry = next.ok_or_else(|| io::Error::other("a relay without an end"))?;
        Ok(Self { entry })
    }

    /// Where its one connection is to be made.
    pub fn endpoint(&self) -> Endpoint {
        self.entry.into()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Wakes threads that still wait for the connection that never came; else there is nobody to connect to.
        let _ = TcpStream::connect(self.entry);
    }
}

/// Accepts one connection and closes the port.
fn accept(listener: TcpListener) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn echo(listener: TcpListener) -> io::Result<()> {
    let stream = accept(listener)?;
    copy(&stream, &stream)
}

fn carry(listener: TcpListener, onwards: SocketAddr) -> io::Result<()> {
    let near = accept(listener)?;
    let far = TcpStream::connect(onwards)?;
    far.set_nodelay(true)?;
    thread::scope(|scope| {
        scope.spawn(|| copy(&far, &near));
        copy(&near, &far)
    })
}

/// Carries bytes until the end of file, which it passes on.
fn copy(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let outcome = loop {
        match from.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(count) => {
                if let Err(error) = to.write_all(&buffer[..count]) {
                    break Err(error);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    let _ = to.shutdown(Shutdown::Write);
    outcome
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_sent_comes_back_through_every_hop() {
        for hops in [0, 2] {
            let relay = Relay::start(hops).unwrap();
            let mut stream = TcpStream::connect(relay.endpoint().socket_addr()).unwrap();
            stream.write_all(b"there and back").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut back = Vec::new();
            stream.read_to_end(&mut back).unwrap();
            assert_eq!(back, b"there and back");
        }
    }

    #[test]
    fn dropped_unused_it_closes_its_ports() {
        let relay = Relay::start(2).unwrap();
        let entry = relay.endpoint().socket_addr();
        drop(relay);
        // Its thread took our wake-up call for the connection, and listens no more.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while TcpStream::connect(entry).is_ok() {
            assert!(std::time::Instant::now() < deadline, "{entry} still listens");
            thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}
