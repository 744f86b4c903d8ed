//! A stream to an echo and back: by the clients and backends of portwitness, and by as little code as it takes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use portwitness::backends::EchoBackend;
use portwitness::clients::ClientContext;
use portwitness::clients::payload::Payload;
use portwitness::clients::transfer::{TransferOptions, transfer};
use sha2::{Digest, Sha256};

use super::listen::{Storm, measured};
use super::place;
use crate::observing;

/// Who sends, and whether both directions are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum How {
    /// Client and backend of portwitness: every byte generated, compared and hashed.
    Verified,
    /// The same without digests.
    Compared,
    /// Blocking sockets, one buffer sent again and again, both directions hashed: the floor.
    Floor,
}

/// Bytes at a time, of the floor as of the clients.
const CHUNK: usize = 256 << 10;

/// Sends `bytes` and receives them again.
pub(crate) fn run(how: How, bytes: u64) -> anyhow::Result<Storm> {
    match how {
        How::Verified => ours(bytes, true),
        How::Compared => ours(bytes, false),
        How::Floor => measured(1, || floor(bytes).map(|()| 0)),
    }
}

fn ours(bytes: u64, sha256: bool) -> anyhow::Result<Storm> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let recorder = observing::nowhere();
    let echo = runtime
        .block_on(async { EchoBackend::start(&recorder, "echo", std::net::SocketAddr::from(place(0)).into()) })?;
    let context = ClientContext::new(&recorder, "transfer", echo.endpoint());
    let storm = measured(1, || {
        let finished = runtime.block_on(transfer(&context, Payload::new(1, 1, bytes), TransferOptions { sha256 }));
        anyhow::ensure!(finished.is_ok(), "the transfer ended as {:?}", finished.outcome);
        Ok(0)
    });
    runtime.block_on(echo.stop());
    storm
}

fn floor(bytes: u64) -> anyhow::Result<()> {
    let listener = TcpListener::bind(place(0))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    std::thread::scope(|scope| {
        let echo = scope.spawn(|| echo(server));
        let sender = scope.spawn(|| send(&client, bytes));
        let received = receive(&client);
        let sent = sender.join().unwrap_or_else(|_| anyhow::bail!("the sender panicked"))?;
        echo.join().unwrap_or_else(|_| anyhow::bail!("the echo panicked"))?;
        anyhow::ensure!(received? == sent, "what came back is not what was sent");
        Ok(())
    })
}

fn echo(mut stream: TcpStream) -> anyhow::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count])?,
        }
    }
}

fn send(mut stream: &TcpStream, mut bytes: u64) -> anyhow::Result<[u8; 32]> {
    let mut buffer = vec![0; CHUNK];
    Payload::new(1, 1, CHUNK as u64).fill(0, &mut buffer);
    let mut digest = Sha256::new();
    while bytes > 0 {
        let piece = &buffer[..bytes.min(CHUNK as u64) as usize];
        digest.update(piece);
        stream.write_all(piece)?;
        bytes -= piece.len() as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(digest.finalize().into())
}

fn receive(mut stream: &TcpStream) -> anyhow::Result<[u8; 32]> {
    let mut buffer = vec![0; CHUNK];
    let mut digest = Sha256::new();
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(digest.finalize().into()),
            count => digest.update(&buffer[..count]),
        }
    }
}
