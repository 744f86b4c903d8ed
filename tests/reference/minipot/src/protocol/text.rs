//! What may stand in a report: text that the proxy's server takes.

use crate::fault::{Fault, Faults};

/// `bytes` as text when they keep the text rule: strict UTF-8 without NUL.
pub(crate) fn text(bytes: &[u8], faults: Faults) -> Option<String> {
    if faults.has(Fault::ReportsAnyText) {
        return Some(String::from_utf8_lossy(bytes).into_owned());
    }
    str::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).map(str::to_owned)
}

/// The parts of `bytes` between runs of `separators`; no part is empty.
pub(crate) fn tokens<'a>(bytes: &'a [u8], separators: &[u8]) -> Vec<&'a [u8]> {
    bytes.split(|byte| separators.contains(byte)).filter(|part| !part.is_empty()).collect()
}

/// The digits of a C integer at the start of `bytes`, as `strtoll` reads them: blanks, a sign, `0x` before hexadecimal digits;
/// what follows is ignored. None without a digit, for a negative number other than zero, or beyond 2^63 - 1.
pub(crate) fn c_integer(bytes: &[u8], radix: u32) -> Option<u64> {
    let bytes = bytes.trim_ascii_start_with_vt();
    let (negative, bytes) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, bytes),
    };
    let digit = |byte: &u8| char::from(*byte).to_digit(radix);
    let bytes = match bytes {
        [b'0', b'x' | b'X', rest @ ..] if radix == 16 && rest.first().and_then(digit).is_some() => rest,
        _ => bytes,
    };
    let mut digits = bytes.iter().map_while(digit).peekable();
    digits.peek()?;
    let mut value = 0_i64;
    for digit in digits {
        value = value.checked_mul(i64::from(radix))?.checked_add(i64::from(digit))?;
    }
    if negative && value != 0 { None } else { u64::try_from(value).ok() }
}

trait Blanks {
    fn trim_ascii_start_with_vt(&self) -> &[u8];
}

impl Blanks for [u8] {
    /// `isspace` of C knows VT, which `trim_ascii_start` does not.
    fn trim_ascii_start_with_vt(&self) -> &[u8] {
        let blanks = self.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == 0x0b).count();
        &self[blanks..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_rule() {
        let none = Faults::default();
        for good in
            [&b""[..], b"a", b"\x01\x7f", "\u{80}".as_bytes(), "\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}".as_bytes()]
        {
            assert!(text(good, none).is_some_and(|text| text.as_bytes() == good), "{good:x?}");
        }
        for bad in [
            &b"\0"[..],
            b"a\0b",
            b"\x80",
            b"\xc3",
            b"\xc0\xaf",
            b"\xc1\xbf",
            b"\xe0\x9f\xbf",
            b"\xed\xa0\x80",
            b"\xed\xbf\xbf",
            b"\xf0\x8f\xbf\xbf",
            b"\xf4\x90\x80\x80",
            b"\xf5\x80\x80\x80",
            b"\xff",
            b"a\xe2\x82",
        ] {
            assert_eq!(text(bad, none), None, "{bad:x?}");
        }
    }

    #[test]
    fn integers_of_c() {
        for (bytes, radix, value) in [
            (&b"0"[..], 10, Some(0)),
            (b"12abc", 10, Some(12)),
            (b"+7", 10, Some(7)),
            (b" \x0b7", 10, Some(7)),
            (b"0x7", 10, Some(0)),
            (b"9223372036854775807", 10, Some(i64::MAX as u64)),
            (b"9223372036854775808", 10, None),
            (b"-1", 10, None),
            (b"-0", 10, Some(0)),
            (b"", 10, None),
            (b"x1", 10, None),
            (b"1F", 16, Some(31)),
            (b"0x1f;", 16, Some(31)),
            (b"0xg", 16, Some(0)),
            (b"g", 16, None),
        ] {
            assert_eq!(c_integer(bytes, radix), value, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn tokens_skip_runs_of_separators() {
        assert_eq!(tokens(b"\t a \tb ", b" \t"), [b"a", b"b"]);
        assert!(tokens(b" \t", b" \t").is_empty());
    }
}
