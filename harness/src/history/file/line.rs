//! A record as a line: what serde writes, byte for byte, for the two kinds of which there are millions without its detours.
//!
//! serde hands the fields of a flattened, tagged enum through a buffer of values, which costs several times as much as
//! the text itself.

use std::net::SocketAddr;

use crate::endpoint::{Endpoint, SocketId};
use crate::history::kernel::{Process, SocketState, Syscall, SyscallPhase, Tuple};
use crate::history::record::{Event, Record};

/// Appends a record and the end of the line.
pub(super) fn write(record: &Record, line: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    match &record.event {
        Event::SocketState(change) => {
            head(record, "socket_state", line)?;
            socket_state(change, line)?;
        }
        Event::Syscall(call) => {
            head(record, "syscall", line)?;
            syscall(call, line)?;
        }
        _ => serde_json::to_writer(&mut *line, record)?,
    }
    line.push(b'\n');
    Ok(())
}

/// All that stands before the event's own fields.
fn head(record: &Record, event: &str, line: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    // No `..` in these patterns: a field that is new must be written here too.
    let Record { at, uncertainty_ns, source, event: _ } = record;
    put(line, "{\"at\":");
    number(at.0, line);
    if *uncertainty_ns != 0 {
        put(line, ",\"uncertainty_ns\":");
        number(*uncertainty_ns, line);
    }
    put(line, ",\"source\":");
    serde_json::to_writer(&mut *line, source)?;
    put(line, ",\"event\":\"");
    put(line, event);
    line.push(b'"');
    Ok(())
}

fn socket_state(change: &SocketState, line: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let SocketState { socket, netns, local, remote, from, to, ipv6_only, refused, process: who } = change;
    put(line, ",\"socket\":\"");
    hexadecimal(*socket, line);
    put(line, "\",\"netns\":");
    number(*netns, line);
    put(line, ",\"local\":");
    endpoint(*local, line)?;
    if let Some(remote) = remote {
        put(line, ",\"remote\":");
        endpoint(*remote, line)?;
    }
    put(line, ",\"from\":");
    serde_json::to_writer(&mut *line, from)?;
    put(line, ",\"to\":");
    serde_json::to_writer(&mut *line, to)?;
    if *ipv6_only {
        put(line, ",\"ipv6_only\":true");
    }
    if *refused {
        put(line, ",\"refused\":true");
    }
    process(who, line)
}

fn syscall(call: &Syscall, line: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let Syscall { name, phase, fd, argument, address, tuple, process: who } = call;
    put(line, ",\"name\":");
    text(name, line)?;
    match phase {
        SyscallPhase::Enter => put(line, ",\"phase\":\"enter\",\"fd\":"),
        SyscallPhase::Exit(result) => {
            put(line, ",\"phase\":{\"exit\":");
            number(*result, line);
            put(line, "},\"fd\":");
        }
    }
    number(*fd, line);
    if let Some(argument) = argument {
        put(line, ",\"argument\":");
        number(*argument, line);
    }
    if let Some(address) = address {
        put(line, ",\"address\":");
        endpoint(*address, line)?;
    }
    if let Some(Tuple { local, remote }) = tuple {
        put(line, ",\"tuple\":{\"local\":");
        endpoint(*local, line)?;
        put(line, ",\"remote\":");
        endpoint(*remote, line)?;
        line.push(b'}');
    }
    process(who, line)
}

/// The last field, and the end of the record.
fn process(who: &Process, line: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let Process { tgid, tid, comm } = who;
    put(line, ",\"process\":{\"tgid\":");
    number(tgid.0, line);
    put(line, ",\"tid\":");
    number(*tid, line);
    put(line, ",\"comm\":");
    text(comm, line)?;
    put(line, "}}");
    Ok(())
}

fn endpoint(endpoint: Endpoint, line: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let SocketAddr::V4(address) = endpoint.socket_addr() else {
        return serde_json::to_writer(line, &endpoint);
    };
    let [first, rest @ ..] = address.ip().octets();
    line.push(b'"');
    number(first, line);
    for octet in rest {
        line.push(b'.');
        number(octet, line);
    }
    line.push(b':');
    number(address.port(), line);
    line.push(b'"');
    Ok(())
}

fn text(text: &str, line: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        return serde_json::to_writer(line, text);
    }
    line.push(b'"');
    put(line, text);
    line.push(b'"');
    Ok(())
}

fn hexadecimal(socket: SocketId, line: &mut Vec<u8>) {
    put(line, "0x");
    let digits = (64 - socket.0.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        line.push(b"0123456789abcdef"[(socket.0 >> (4 * digit) & 0xf) as usize]);
    }
}

fn number(number: impl itoa::Integer, line: &mut Vec<u8>) {
    put(line, itoa::Buffer::new().format(number));
}

fn put(line: &mut Vec<u8>, text: &str) {
    line.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::history::properties::arbitrary;
    use crate::properties::config;

    proptest! {
        #![proptest_config(config(5000))]

        #[test]
        fn a_line_is_what_serde_writes(record in arbitrary::record()) {
            let mut line = b"kept".to_vec();
            write(&record, &mut line).unwrap();
            prop_assert_eq!(String::from_utf8(line).unwrap(), format!("kept{}\n", serde_json::to_string(&record).unwrap()));
        }
    }
}
