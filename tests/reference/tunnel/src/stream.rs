//! One TCP connection bridged to one stream of a link, with half-close, credit and an orderly end.

use std::{convert::Infallible, io, pin::pin, sync::Arc, time::Duration};

use bytes::{BufMut as _, Bytes};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{Semaphore, mpsc, oneshot},
    time::{sleep, timeout},
};
use tracing::debug;

use crate::{
    frame::{Frame, HEADER, MAX_PAYLOAD, StreamId, data_buffer},
    link::{Link, MAX_COST, WINDOW, cost},
    tamper::{Flow, Tamper},
};

/// How long a connection that ends early may take to hand over what it has, and to hear the peer's own end.
const LINGER: Duration = Duration::from_secs(1);
/// Credit that is given back at once rather than byte by byte. The rest of the window still holds the largest frame.
const CREDIT_STEP: usize = WINDOW / 4;

/// What arrives for a stream, in order.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// The next bytes.
    Data(Bytes),
    /// The other side sends no more.
    Finish,
}

/// One end of a stream.
#[derive(Debug)]
pub(crate) struct Stream {
    id: StreamId,
    link: Link,
    inbound: mpsc::UnboundedReceiver<Inbound>,
    credit: Arc<Semaphore>,
    closed: oneshot::Receiver<Infallible>,
}

impl Stream {
    /// Built by the link, which keeps the other ends of these channels.
    pub(crate) fn new(
        id: StreamId,
        link: Link,
        inbound: mpsc::UnboundedReceiver<Inbound>,
        credit: Arc<Semaphore>,
        closed: oneshot::Receiver<Infallible>,
    ) -> Self {
        Self { id, link, inbound, credit, closed }
    }

    /// The stream's number in its link.
    pub(crate) fn id(&self) -> StreamId {
        self.id
    }

    /// Ends the stream at both ends.
    pub(crate) async fn close(self) {
        self.link.close(self.id).await;
    }

    /// Carries bytes both ways until both directions are finished, either side fails, or `over` says so; `tamper` sees what goes from
    /// the socket into the stream.
    pub(crate) async fn bridge(self, mut tcp: TcpStream, tamper: Tamper, over: impl Future<Output = ()>) {
        let Self { id, link, mut inbound, credit, mut closed } = self;
        let complete = {
            let (reader, writer) = tcp.split();
            let mut upload = pin!(upload(id, &link, reader, &credit, tamper));
            let mut download = pin!(download(id, &link, writer, &mut inbound));
            let mut over = pin!(over);
            let (mut uploaded, mut downloaded) = (false, false);
            loop {
                // Not biased: each branch can use up the task's turn, and must not starve the others.
                let result = tokio::select! {
                    () = &mut over => break false,
                    result = &mut upload, if !uploaded => {
                        uploaded = true;
                        result
                    }
                    result = &mut download, if !downloaded => {
                        downloaded = true;
                        result
                    }
                    _ = &mut closed => {
                        // What arrived before the end still belongs to the socket.
                        if !downloaded {
                            let _ = timeout(LINGER, &mut download).await;
                        }
                        break false;
                    }
                };
                match result {
                    Ok(()) if uploaded && downloaded => break true,
                    Ok(()) => {}
                    Err(error) => {
                        debug!("stream {id}: {error}");
                        break false;
                    }
                }
            }
        };
        drop(inbound);
        if complete {
            link.forget(id);
        } else {
            tokio::join!(end(tcp), link.close(id));
        }
    }
}

/// Reads the socket into the stream until the socket's end of file.
async fn upload(
    id: StreamId,
    link: &Link,
    mut socket: ReadHalf<'_>,
    credit: &Semaphore,
    mut tamper: Tamper,
) -> io::Result<()> {
    loop {
        let room = tamper.room().min(MAX_PAYLOAD);
        if room == 0 {
            return std::future::pending().await;
        }
        let mut permit = tokio::select! {
            biased;
            permit = credit.acquire_many(MAX_COST as u32) => permit.map_err(|_| io::ErrorKind::BrokenPipe)?,
            // Nobody reads while the credit is out: a reset must not go unnoticed.
            _ = socket.ready(Interest::ERROR) => return Err(io::ErrorKind::ConnectionReset.into()),
        };
        // The buffer is made when there is something to read: an idle connection costs none.
        socket.readable().await?;
        let mut buffer = data_buffer(id, room).limit(room);
        let length = match socket.try_read_buf(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        let mut frame = buffer.into_inner();
        let mut payload = frame.split_off(HEADER);
        let flow = if length == 0 {
            payload = tamper.rest();
            Flow::End
        } else {
            tamper.pass(&mut payload)
        };
        if let Flow::After(pause) = flow {
            sleep(pause).await;
        }
        if !payload.is_empty() {
            if let Some(spent) = permit.split(cost(payload.len())) {
                spent.forget();
            }
            frame.unsplit(payload);
            if !link.send_encoded(frame.freeze()).await {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
        drop(permit);
        if flow == Flow::End {
            link.send(Frame::Finish { stream: id }).await;
            // A stream that a fault ends may have more to read: closing over it would be a reset.
            discard(&mut socket).await;
            return Ok(());
        }
    }
}

/// Writes the stream into the socket until the stream's end, and gives credit back for what the socket took.
async fn download(
    id: StreamId,
    link: &Link,
    mut socket: WriteHalf<'_>,
    inbound: &mut mpsc::UnboundedReceiver<Inbound>,
) -> io::Result<()> {
    let mut owed = 0;
    loop {
        match inbound.recv().await {
            Some(Inbound::Data(payload)) => {
                socket.write_all(&payload).await?;
                owed += cost(payload.len());
                if owed >= CREDIT_STEP {
                    link.send(Frame::Credit { stream: id, amount: owed as u32 }).await;
                    owed = 0;
                }
            }
            Some(Inbound::Finish) => {
                // A peer that has gone already needs no end of file.
                let _ = socket.shutdown().await;
                return Ok(());
            }
            // The other end, or the loss of the link, ended the stream without a finish.
            None => return Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

/// Reads and drops what comes until the end of file or `over`: a connection that nobody serves yet.
pub(crate) async fn swallow(mut tcp: TcpStream, over: impl Future<Output = ()>) {
    tokio::select! {
        () = discard(&mut tcp) => {}
        () = over => {}
    }
    end(tcp).await;
}

/// Sends an end of file, and takes what the peer still sends for a while: closing at once would reset the connection instead.
pub(crate) async fn end(mut tcp: TcpStream) {
    if tcp.shutdown().await.is_ok() {
        let _ = timeout(LINGER, discard(&mut tcp)).await;
    }
}

async fn discard(socket: &mut (impl AsyncRead + Unpin)) {
    let mut scratch = [0; 4096];
    while matches!(socket.read(&mut scratch).await, Ok(1..)) {}
}
