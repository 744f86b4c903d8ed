//! A client's connection: one operation, one socket.

use std::io;
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::activity::Activity;
use super::payload::Payload;
use super::recording::{CHUNK, Recording, Stop, milliseconds, outcome_of};
use super::verifier::{Reception, Verifier};
use super::{ClientContext, Finished};
use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::history::Outcome;

/// When as much came back as was sent, but not the same, more may explain it: this long a silence ends the wait.
const SETTLING: Duration = Duration::from_millis(500);

/// Bytes beyond what is expected that are read at the most, to describe an echo that does not end.
const EXCESS: u64 = 1024 * 1024;

/// Bytes that a buffer has at the least.
const SMALLEST_BUFFER: u64 = 4096;

/// An operation whose connect succeeded.
pub(super) struct Connection {
    /// Its records so far.
    pub(super) recording: Recording,
    /// When bytes moved last.
    pub(super) activity: Activity,
    stream: TcpStream,
    buffer: Vec<u8>,
    /// How long it may go without progress.
    pub(super) idle: Duration,
}

impl Connection {
    /// Begins an operation and connects; one whose connect fails has ended.
    pub(super) async fn open(
        context: &ClientContext,
        client: &str,
        payload: Payload,
        sha256: bool,
    ) -> Result<Self, Box<Finished>> {
        let buffer = vec![0; payload.length().clamp(SMALLEST_BUFFER, CHUNK as u64) as usize];
        let recording = Recording::start(context, client, payload, sha256);
        let began = Timestamp::now();
        match connect(context).await {
            Ok((stream, local)) => {
                recording.connected(began, Outcome::Ok, Some(local));
                let idle = context.deadlines.idle;
                Ok(Self { recording, activity: Activity::default(), stream, buffer, idle })
            }
            Err(outcome) => {
                recording.connected(began, outcome.clone(), None);
                Err(Box::new(recording.end_as(outcome)))
            }
        }
    }

    /// Sends as far as offset `end` of the payload.
    pub(super) async fn send(&mut self, end: u64) -> Result<(), Stop> {
        self.send_within(self.idle, end).await.unwrap_or(Err(Stop::Idle))
    }

    /// Sends as far as offset `end` of the payload, unless nothing moves for as long as `idle`: then `None`.
    pub(super) async fn send_within(&mut self, idle: Duration, end: u64) -> Option<Result<(), Stop>> {
        let Self { recording, activity, stream, .. } = self;
        match activity.within(idle, recording.outgoing.send(stream, end, activity)).await? {
            Ok(()) => Some(Ok(())),
            // What came before the error is still there to be read.
            Err(error) => Some(Err(after_write_error(self.receive_all().await, Some(error)))),
        }
    }

    /// Receives until as many bytes as `end` have come, right or wrong.
    pub(super) async fn receive(&mut self, end: u64) -> Result<(), Stop> {
        let Self { recording, activity, stream, buffer, idle } = self;
        let receiving = async {
            while recording.incoming.received() < end {
                receive_some(stream, buffer, &mut recording.incoming, activity).await?;
            }
            Ok(())
        };
        activity.within(*idle, receiving).await.unwrap_or(Err(Stop::Idle))
    }

    /// Receives until the whole echo has come, or the connection stops.
    pub(super) async fn receive_all(&mut self) -> Stop {
        let Self { recording, activity, stream, buffer, idle } = self;
        let receiving = receive_all(stream, buffer, &mut recording.incoming, activity);
        activity.within(*idle, receiving).await.unwrap_or(Stop::Idle)
    }

    /// Receives whatever comes until the connection stops; `idle` bounds the wait where there is one.
    pub(super) async fn receive_until_stop(&mut self, idle: Option<Duration>) -> Stop {
        let Self { recording, activity, stream, buffer, .. } = self;
        let receiving = async {
            loop {
                if let Err(stop) = receive_some(stream, buffer, &mut recording.incoming, activity).await {
                    return stop;
                }
            }
        };
        match idle {
            Some(idle) => activity.within(idle, receiving).await.unwrap_or(Stop::Idle),
            None => receiving.await,
        }
    }

    /// Sends the rest of the payload and receives the whole echo, at the same time.
    pub(super) async fn stream_all(&mut self) -> Stop {
        let Self { recording, activity, stream, buffer, idle } = self;
        let (mut reader, mut writer) = stream.split();
        let (outgoing, incoming) = (&mut recording.outgoing, &mut recording.incoming);
        let end = outgoing.payload.length();
        let mut write_error = None;
        let both = async {
            let mut sending = std::pin::pin!(outgoing.send(&mut writer, end, activity));
            let mut receiving = std::pin::pin!(receive_all(&mut reader, buffer, incoming, activity));
            let mut done = false;
            loop {
                tokio::select! {
                    stop = &mut receiving => break stop,
                    sent = &mut sending, if !done => {
                        done = true;
                        write_error = sent.err();
                    }
                }
            }
        };
        let stop = activity.within(*idle, both).await.unwrap_or(Stop::Idle);
        after_write_error(stop, write_error)
    }

    /// Sends a FIN; receiving goes on.
    pub(super) async fn half_close(&mut self) -> Result<(), Stop> {
        self.stream.shutdown().await.map_err(|source| Stop::Error { doing: "shutdown", source })
    }

    /// Ends the operation and closes the connection. After an exchange that is complete nothing more may be there.
    pub(super) fn close(mut self, stop: &Stop) -> Finished {
        if matches!(stop, Stop::Complete) {
            let most = self.recording.incoming.received() + EXCESS;
            while let Ok((_, count @ 1..)) = rustix::net::recv(&self.stream, &mut self.buffer[..], RecvFlags::DONTWAIT)
                && self.recording.incoming.received() < most
            {
                self.recording.incoming.accept(&self.buffer[..count]);
            }
        }
        self.recording.silent(self.activity.longest_silence());
        self.recording.end(stop)
    }
}

async fn connect(context: &ClientContext) -> Result<(TcpStream, Endpoint), Outcome> {
    let deadline = context.deadlines.connect;
    let stream = timeout(deadline, TcpStream::connect(context.target.socket_addr()))
        .await
        .map_err(|_| Outcome::Timeout { after_ms: milliseconds(deadline) })?
        .map_err(|error| outcome_of("connect", &error))?;
    let failed = |error: io::Error| outcome_of("connect", &error);
    let local = Endpoint::from(stream.local_addr().map_err(failed)?);
    if local == context.target {
        // Nobody listens there, and the kernel chose that very port as ours: TCP connects a socket to itself then
        // (simultaneous open, RFC 9293, 3.5).
        return Err(Outcome::Refused);
    }
    stream.set_nodelay(true).map_err(failed)?;
    Ok((stream, local))
}

/// How a connection stopped of which a write has failed, and whose rest was read then.
fn after_write_error(stop: Stop, write_error: Option<io::Error>) -> Stop {
    match (stop, write_error) {
        // The peer closed in order, and what we wrote after that was answered by a reset.
        (Stop::Eof, Some(error)) if error.kind() == io::ErrorKind::BrokenPipe => Stop::Eof,
        // An error that a write has reported is not reported to a read again: it sees the end of the stream.
        (Stop::Eof | Stop::Idle, Some(source)) => Stop::Error { doing: "write", source },
        (stop, _) => stop,
    }
}

async fn receive_some(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut [u8],
    verifier: &mut Verifier,
    activity: &Activity,
) -> Result<(), Stop> {
    match reader.read(buffer).await {
        Ok(0) => Err(Stop::Eof),
        Ok(count) => {
            activity.touch();
            verifier.accept(&buffer[..count]);
            Ok(())
        }
        Err(source) => Err(Stop::Error { doing: "read", source }),
    }
}

async fn receive_all(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut [u8],
    verifier: &mut Verifier,
    activity: &Activity,
) -> Stop {
    let most = verifier.expected_length().saturating_add(EXCESS);
    loop {
        let reception = verifier.reception();
        let receiving = receive_some(reader, buffer, verifier, activity);
        let received = match reception {
            Reception::Complete => return Stop::Complete,
            Reception::More => receiving.await,
            Reception::Settling => match timeout(SETTLING, receiving).await {
                Ok(received) => received,
                Err(_) => return Stop::Complete,
            },
        };
        match received {
            Ok(()) if verifier.received() > most => return Stop::Complete,
            Ok(()) => {}
            Err(stop) => return stop,
        }
    }
}
