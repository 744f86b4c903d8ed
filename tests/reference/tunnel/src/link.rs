//! One WebSocket between server and client, and the streams multiplexed in it.
//!
//! A writer task sends what the streams queue, so a full WebSocket holds the streams back. The reader never waits for a stream: the
//! credit that a sender needs bounds what a stream's inbox can hold, so one stream that nobody reads cannot stop the others.

mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::bail;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, stream::SplitSink, stream::SplitStream};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message, protocol::WebSocketConfig},
};

use crate::{
    frame::{Frame, MAX_FRAME, MAX_PAYLOAD, Role, StreamId},
    stream::Stream,
};
use table::Table;

/// Credit of a stream in one direction at its start: bytes, counted as [`cost`] counts them, on the way or waiting for the socket.
pub(crate) const WINDOW: usize = 512 * 1024;
/// Frames that may wait for the WebSocket in one link: 1 MiB.
const OUTBOX: usize = 16;
/// What a data frame costs beside its payload, so that tiny frames cannot pile up in an inbox.
const FRAME_COST: usize = 64;
/// Cost of the largest data frame.
pub(crate) const MAX_COST: usize = cost(MAX_PAYLOAD);

/// Credit that a data frame with this payload takes.
pub(crate) const fn cost(payload: usize) -> usize {
    payload + FRAME_COST
}

/// Limits of our WebSockets: a message is one frame.
pub(crate) fn websocket_config() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(MAX_FRAME)).max_frame_size(Some(MAX_FRAME))
}

/// Which end of the link this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Opens even streams.
    Server,
    /// Opens odd streams.
    Client,
}

/// What a link tells its owner.
#[derive(Debug)]
pub(crate) enum Event {
    /// The other end opened a stream to the backend of this tunnel.
    Opened(Stream, String),
    /// The first data arrived on a stream that the other end opened.
    FirstData(StreamId),
    /// The server gave this client a role.
    Role(Role),
}

/// A handle on a link, to send and to open streams.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    outbox: mpsc::Sender<Bytes>,
    streams: Arc<Mutex<Table>>,
}

/// The receiving half of a link; its owner runs it.
#[derive(Debug)]
pub(crate) struct Reader<S> {
    link: Link,
    messages: SplitStream<WebSocketStream<S>>,
    writer: JoinHandle<()>,
}

impl Link {
    /// Takes over a WebSocket after its handshake.
    pub(crate) fn start<S>(websocket: WebSocketStream<S>, end: End) -> (Self, Reader<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sink, messages) = websocket.split();
        let (outbox, queued) = mpsc::channel(OUTBOX);
        let link = Self { outbox, streams: Arc::new(Mutex::new(Table::new(end))) };
        let writer = tokio::spawn(async move {
            // The reader sees the end of a broken WebSocket too, and reports it.
            let _ = write(sink, queued).await;
        });
        (link.clone(), Reader { link, messages, writer })
    }

    /// Queues a frame; waits while the outbox is full. A lost link loses it.
    pub(crate) async fn send(&self, frame: Frame) {
        let _ = self.send_encoded(frame.encode()).await;
    }

    /// Queues an encoded frame; false when the link is lost.
    pub(crate) async fn send_encoded(&self, frame: Bytes) -> bool {
        self.outbox.send(frame).await.is_ok()
    }

    /// Opens a stream to the backend of `tunnel`; None when the link is lost.
    pub(crate) async fn open(&self, tunnel: &str) -> Option<Stream> {
        let stream = self.streams().open(self)?;
        let frame = Frame::Open { stream: stream.id(), tunnel: tunnel.to_owned() };
        self.send_encoded(frame.encode()).await.then_some(stream)
    }

    /// Ends a stream at both ends.
    pub(crate) async fn close(&self, stream: StreamId) {
        if self.forget(stream) {
            self.send(Frame::Close { stream }).await;
        }
    }

    /// Drops a stream's entry; false when the other end or the loss of the link did so before.
    pub(crate) fn forget(&self, stream: StreamId) -> bool {
        self.streams().remove(stream)
    }

    fn streams(&self) -> MutexGuard<'_, Table> {
        // No code panics while it holds the lock, and a table is whole between its operations.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self) {
        self.streams().lose();
    }
}

impl<S> Reader<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// The next frame; None at the end of the WebSocket.
    ///
    /// # Errors
    /// When the WebSocket breaks or carries what is no frame.
    pub(crate) async fn frame(&mut self) -> anyhow::Result<Option<Frame>> {
        loop {
            return match self.messages.next().await {
                None | Some(Ok(Message::Close(_))) => Ok(None),
                Some(Ok(Message::Binary(message))) => Ok(Some(Frame::decode(message)?)),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(_)) => bail!("a text message came in"),
                // The error's own text ends with its source's already.
                Some(Err(error)) => bail!("the websocket broke: {error}"),
            };
        }
    }

    /// Serves the link until it ends, and calls `on_event` for what concerns its owner.
    ///
    /// # Errors
    /// When the WebSocket breaks or the other end violates the protocol.
    pub(crate) async fn run(&mut self, mut on_event: impl FnMut(Event)) -> anyhow::Result<()> {
        while let Some(frame) = self.frame().await? {
            let event = self.link.streams().dispatch(&self.link, frame)?;
            if let Some(event) = event {
                on_event(event);
            }
        }
        Ok(())
    }
}

impl<S> Drop for Reader<S> {
    fn drop(&mut self) {
        self.link.lose();
        self.writer.abort();
    }
}

/// Sends what is queued, and flushes whenever the queue is empty.
async fn write<S>(
    mut sink: SplitSink<WebSocketStream<S>, Message>,
    mut queued: mpsc::Receiver<Bytes>,
) -> Result<(), tungstenite::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(frame) = queued.recv().await {
        sink.feed(Message::Binary(frame)).await?;
        while let Ok(frame) = queued.try_recv() {
            sink.feed(Message::Binary(frame)).await?;
        }
        sink.flush().await?;
    }
    Ok(())
}
