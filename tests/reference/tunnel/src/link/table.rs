//! The streams that are open in one link, and what a frame means to them.

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use anyhow::{Context as _, bail};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{End, Event, Link, WINDOW};
use crate::{
    frame::{Frame, StreamId},
    stream::{Inbound, Stream},
};

/// The streams of a link, by number.
#[derive(Debug)]
pub(super) struct Table {
    end: End,
    next: StreamId,
    /// Set when the link is lost: nothing can be opened any more.
    lost: bool,
    open: HashMap<StreamId, Entry>,
}

/// The link's side of a stream. Dropping it tells the stream that the other end is done with it.
#[derive(Debug)]
struct Entry {
    inbox: mpsc::UnboundedSender<Inbound>,
    credit: Arc<Semaphore>,
    silent: bool,
    _open: oneshot::Sender<Infallible>,
}

impl Table {
    /// Without a stream.
    pub(super) fn new(end: End) -> Self {
        let next = if end == End::Server { 2 } else { 1 };
        Self { end, next, lost: false, open: HashMap::new() }
    }

    /// A stream of ours with the next number; None when the link is lost.
    pub(super) fn open(&mut self, link: &Link) -> Option<Stream> {
        let id = self.next;
        self.next = id.wrapping_add(2);
        self.insert(link, id)
    }

    /// Drops a stream's entry; false when there is none.
    pub(super) fn remove(&mut self, stream: StreamId) -> bool {
        self.open.remove(&stream).is_some()
    }

    /// Drops all entries, for good.
    pub(super) fn lose(&mut self) {
        self.lost = true;
        self.open.clear();
    }

    /// Hands a frame to its stream; gives back what concerns the link's owner. A stream that is gone here may still be on its way
    /// there: frames for unknown streams are no error.
    ///
    /// # Errors
    /// When the other end violates the protocol.
    pub(super) fn dispatch(&mut self, link: &Link, frame: Frame) -> anyhow::Result<Option<Event>> {
        let end = self.end;
        Ok(match frame {
            Frame::Open { stream, tunnel } => {
                if opened_by(stream) == end {
                    bail!("the other end opened stream {stream}, a number of ours");
                }
                let opened = self.insert(link, stream).with_context(|| format!("stream {stream} opened twice"))?;
                Some(Event::Opened(opened, tunnel))
            }
            Frame::Data { stream, payload } => self.open.get_mut(&stream).and_then(|entry| {
                let _ = entry.inbox.send(Inbound::Data(payload));
                let first = std::mem::take(&mut entry.silent);
                (first && opened_by(stream) != end).then_some(Event::FirstData(stream))
            }),
            Frame::Finish { stream } => {
                if let Some(entry) = self.open.get(&stream) {
                    let _ = entry.inbox.send(Inbound::Finish);
                }
                None
            }
            Frame::Credit { stream, amount } => {
                if let Some(entry) = self.open.get(&stream) {
                    let amount = amount as usize;
                    if entry.credit.available_permits() + amount > WINDOW {
                        bail!("stream {stream} was given more credit than its window");
                    }
                    entry.credit.add_permits(amount);
                }
                None
            }
            Frame::Close { stream } => {
                self.remove(stream);
                None
            }
            Frame::Role(role) if end == End::Client => Some(Event::Role(role)),
            Frame::Role(_) | Frame::Hello { .. } | Frame::Welcome => bail!("unexpected frame {frame:?}"),
        })
    }

    fn insert(&mut self, link: &Link, id: StreamId) -> Option<Stream> {
        if self.lost || self.open.contains_key(&id) {
            return None;
        }
        let (inbox, inbound) = mpsc::unbounded_channel();
        let (open, closed) = oneshot::channel();
        let credit = Arc::new(Semaphore::new(WINDOW));
        self.open.insert(id, Entry { inbox, credit: credit.clone(), silent: true, _open: open });
        Some(Stream::new(id, link.clone(), inbound, credit, closed))
    }
}

fn opened_by(stream: StreamId) -> End {
    if stream.is_multiple_of(2) { End::Server } else { End::Client }
}
