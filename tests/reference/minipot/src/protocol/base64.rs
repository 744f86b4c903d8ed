//! Base64 as lenient as the system that this one stands in for: padding is optional, and any length but 1 is good.

/// The bytes that `text` stands for. `=` may come at most twice and only at the end; bits that make no whole byte are dropped.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() == 1 {
        return None;
    }
    let body = text.strip_suffix(b"=").unwrap_or(text);
    let body = body.strip_suffix(b"=").unwrap_or(body);
    let (mut bits, mut count) = (0_u32, 0);
    let mut bytes = Vec::with_capacity(body.len() * 3 / 4);
    for byte in body {
        bits = bits << 6 | value(*byte)?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

/// The six bits of a letter of the standard alphabet.
fn value(letter: u8) -> Option<u32> {
    let value = match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn reads_what_is_padded_and_what_is_not() {
        for text in ["dXNlcjpwYXNz", "dXNlcjpwYXNzMQ==", "dXNlcjpwYXNzMQ=", "dXNlcjpwYXNzMQ"] {
            assert!(decode(text.as_bytes()).is_some_and(|bytes| bytes.starts_with(b"user:pass")), "{text}");
        }
        assert_eq!(decode(b"+/8").as_deref(), Some(&b"\xfb\xff"[..]));
        assert_eq!(decode(b"QUJDR").as_deref(), Some(&b"ABC"[..]));
        assert_eq!(decode(b"==").as_deref(), Some(&b""[..]));
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["A", "=", "QU=JD", "QQ===", "Q Q=", "-_8", "QQ\n", "=QQ", "*", "QQ\0"] {
            assert_eq!(decode(text.as_bytes()), None, "{text:?}");
        }
    }
}
