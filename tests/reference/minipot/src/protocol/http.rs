//! HTTP: every request wants authentication, and gets no further.

mod answer;
mod message;
#[cfg(test)]
mod tests;

use std::time::SystemTime;

use self::message::{Body, Message, is_chunk_extension, is_header};
use super::{
    Action, Event, Protocol,
    lines::{Line, Lines},
    text::c_integer,
};
use crate::fault::{Fault, Faults};

/// Longest line in bytes, CR and LF included.
const LINE: usize = 8192;
/// Headers and trailers of a message that are one too many.
const HEADERS: u32 = 100;
/// Requests that a connection gets answered.
const REQUESTS: u32 = 100;

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug)]
enum Expect {
    RequestLine,
    Header,
    /// So many bytes of a body with Content-Length are to come.
    Body(u64),
    ChunkSize,
    /// So many bytes of this chunk are to come.
    Chunk(u64),
    /// The empty line after a chunk.
    ChunkEnd,
    Trailer,
}

/// An HTTP connection.
#[derive(Debug)]
pub(crate) struct Http {
    lines: Lines,
    expect: Expect,
    message: Message,
    headers: u32,
    requests: u32,
    now: fn() -> SystemTime,
    faults: Faults,
}

/// The message breaks the protocol: 400, and the end.
#[derive(Debug)]
struct BadRequest;

impl Http {
    /// `now` dates the answers.
    pub(crate) fn new(now: fn() -> SystemTime, faults: Faults) -> Self {
        Self {
            lines: Lines::new(LINE),
            expect: Expect::RequestLine,
            message: Message::default(),
            headers: 0,
            requests: 0,
            now,
            faults,
        }
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<Action>) -> Result<(), BadRequest> {
        let line = match line.strip_suffix(b"\r") {
            Some(line) => line,
            None if self.faults.has(Fault::LenientLines) => line,
            None => return Err(BadRequest),
        };
        match self.expect {
            Expect::RequestLine => {
                self.message = Message::of_request_line(line).ok_or(BadRequest)?;
                self.headers = 0;
                self.expect = Expect::Header;
            }
            Expect::Header if line.is_empty() => self.end_headers(out)?,
            Expect::Header => {
                self.count_header()?;
                self.message.header(line).ok_or(BadRequest)?;
            }
            Expect::ChunkSize => self.expect = chunk(line)?,
            Expect::ChunkEnd if line.is_empty() => self.expect = Expect::ChunkSize,
            Expect::Trailer if line.is_empty() => self.end_message(out),
            Expect::Trailer => {
                self.count_header()?;
                is_header(line).then_some(()).ok_or(BadRequest)?;
            }
            // Bytes of bodies do not come as lines.
            Expect::ChunkEnd | Expect::Body(_) | Expect::Chunk(_) => return Err(BadRequest),
        }
        Ok(())
    }

    fn count_header(&mut self) -> Result<(), BadRequest> {
        self.headers += 1;
        if self.headers == HEADERS { Err(BadRequest) } else { Ok(()) }
    }

    fn end_headers(&mut self, out: &mut Vec<Action>) -> Result<(), BadRequest> {
        match self.message.body().ok_or(BadRequest)? {
            Body::Length(_) if self.faults.has(Fault::ReadsBodyAsRequest) => self.end_message(out),
            Body::Length(0) => self.end_message(out),
            Body::Length(length) => self.expect = Expect::Body(length),
            Body::Chunked => self.expect = Expect::ChunkSize,
        }
        Ok(())
    }

    fn end_message(&mut self, out: &mut Vec<Action>) {
        self.expect = Expect::RequestLine;
        let message = std::mem::take(&mut self.message);
        out.push(Action::Report(message.event(self.faults)));
        out.push(Action::Send(answer::unauthorized((self.now)(), self.faults)));
        self.requests += 1;
        if self.requests == self.faults.limit(REQUESTS) {
            out.push(Action::Close);
        }
    }

    /// Takes up to `left` bytes of a body; returns how much.
    fn skip(&mut self, left: u64, input: &[u8], out: &mut Vec<Action>) -> usize {
        let taken = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        let left = left - taken as u64;
        match self.expect {
            Expect::Body(_) if left == 0 => self.end_message(out),
            Expect::Body(_) => self.expect = Expect::Body(left),
            _ if left == 0 => self.expect = Expect::ChunkEnd,
            _ => self.expect = Expect::Chunk(left),
        }
        taken
    }
}

impl Protocol for Http {
    fn open(&mut self) -> Vec<Action> {
        vec![Action::Report(Event::CONNECT)]
    }

    fn advance(&mut self, mut input: &[u8], out: &mut Vec<Action>) -> usize {
        let length = input.len();
        // A command is a message: go on until one is answered.
        while out.is_empty() && !input.is_empty() {
            let taken = match self.expect {
                Expect::Body(left) | Expect::Chunk(left) => self.skip(left, input, out),
                _ => {
                    let (taken, line) = self.lines.take(input);
                    let refuse: Option<fn(SystemTime) -> Vec<u8>> = match line {
                        Line::Whole(line) => self.line(&line, out).err().map(|BadRequest| answer::bad_request as _),
                        Line::TooLong if matches!(self.expect, Expect::RequestLine) => Some(answer::uri_too_long),
                        Line::TooLong => Some(answer::bad_request),
                        Line::Piece => None,
                    };
                    if let Some(refuse) = refuse {
                        out.extend([Action::Send(refuse((self.now)())), Action::Close]);
                    }
                    taken
                }
            };
            input = &input[taken..];
        }
        length - input.len()
    }

    fn forget_piece(&mut self) {
        self.lines.forget();
    }
}

/// What follows the line with a chunk's size.
fn chunk(line: &[u8]) -> Result<Expect, BadRequest> {
    if let Some(semicolon) = line.iter().position(|byte| *byte == b';')
        && !is_chunk_extension(&line[semicolon + 1..])
    {
        return Err(BadRequest);
    }
    match c_integer(line, 16).ok_or(BadRequest)? {
        0 => Ok(Expect::Trailer),
        size => Ok(Expect::Chunk(size)),
    }
}
