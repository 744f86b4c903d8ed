//! Drives a protocol in tests, as a connection does, and writes down what it does as text.

use super::{Action, Protocol};

/// What a fresh protocol says and reports to `input` in one chunk, after its opening: the sends as they are, escaped, but for a CRLF
/// at the end; reports as `! action key=value...`; the end as `x`.
pub(super) fn lines<P: Protocol>(new: &impl Fn() -> P, input: &[u8]) -> Vec<String> {
    written(&actions(new, &[input]))
}

/// As [`lines`]; and it must be the same when `input` comes in two chunks, wherever it is cut, and when it comes byte by byte.
pub(super) fn lines_however_split<P: Protocol>(new: &impl Fn() -> P, input: &[u8]) -> Vec<String> {
    let whole = lines(new, input);
    for at in 1..input.len() {
        let (first, second) = input.split_at(at);
        assert_eq!(written(&actions(new, &[first, second])), whole, "{} cut at {at}", input.escape_ascii());
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(written(&actions(new, &bytes)), whole, "{} byte by byte", input.escape_ascii());
    whole
}

/// As [`lines`], for chunks that matter.
pub(super) fn lines_of_chunks<P: Protocol>(new: &impl Fn() -> P, chunks: &[&[u8]]) -> Vec<String> {
    written(&actions(new, chunks))
}

fn actions<P: Protocol>(new: &impl Fn() -> P, chunks: &[&[u8]]) -> Vec<Action> {
    let mut protocol = new();
    protocol.open();
    let mut done = Vec::new();
    for chunk in chunks {
        let mut rest = *chunk;
        while !rest.is_empty() && done.last() != Some(&Action::Close) {
            let mut out = Vec::new();
            let taken = protocol.advance(rest, &mut out);
            assert!((1..=rest.len()).contains(&taken), "it took {taken} of {} bytes", rest.len());
            rest = &rest[taken..];
            done.extend(out);
        }
    }
    done
}

/// Actions as text.
pub(super) fn written(actions: &[Action]) -> Vec<String> {
    let write = |action: &Action| match action {
        Action::Send(bytes) => bytes.strip_suffix(b"\r\n").unwrap_or(bytes).escape_ascii().to_string(),
        Action::Report(event) => {
            let data = event.data.iter().map(|(key, value)| format!(" {key}={value}"));
            format!("! {}{}", event.action, data.collect::<String>())
        }
        Action::Close => "x".to_owned(),
    };
    actions.iter().map(write).collect()
}
