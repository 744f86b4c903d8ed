//! A conversation that was predicted: it is sent in random pieces, and every reply and report must be the predicted one.

use std::time::Duration;

use fastrand::Rng;
use portwitness::handlers::{Failure, Session};

/// Something that is sent, and what must come of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exchange {
    /// What is sent.
    pub(super) input: Vec<u8>,
    /// What the system says to it, all of it and in this order.
    pub(super) reply: Vec<u8>,
    /// What the system reports of it: action, and the pairs of `data`.
    pub(super) report: Option<(&'static str, Option<Pairs>)>,
    /// The system closes the connection then, and what follows is dropped.
    pub(super) closes: bool,
}

/// So much is sent at once, at the most: it fits into one receive, whose borders decide over long lines.
const LARGEST: usize = 4000;

/// Keys with their values.
pub(super) type Pairs = Vec<(String, String)>;

/// A `login` of a user name and a password; `invalid`, where one of them is missing.
pub(super) fn login(user: Option<String>, password: Option<String>) -> (&'static str, Option<Pairs>) {
    match user.zip(password) {
        Some((user, password)) => ("login", Some(vec![("username".into(), user), ("password".into(), password)])),
        None => ("invalid", None),
    }
}

/// Bytes as text, where they keep the text rule: strict UTF-8 without NUL.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok().filter(|text| !text.contains('\0'))
}

/// What may stand in a field: empty, plain, of many scripts, or such that it breaks the text rule. No CR and no LF, and where
/// `clean` is set, no byte 255.
pub(super) fn field(random: &mut Rng, marker: &str, clean: bool) -> Vec<u8> {
    const BROKEN: [&[u8]; 10] = [
        b"\0",
        b"\x80",
        b"\xc0\xaf",
        b"\xe0\x9f\xbf",
        b"\xf0\x8f\xbf\xbf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xfe",
        b"\xe2\x82",
        b"\xff",
    ];
    let plain = |random: &mut Rng| (0..random.usize(..20)).map(|_| random.u8(b' '..=b'~')).collect::<Vec<u8>>();
    match random.u8(..8) {
        0 => Vec::new(),
        1 => [marker.as_bytes(), b" ", &plain(random)].concat(),
        2 => {
            let known = if clean { &BROKEN[..BROKEN.len() - 1] } else { &BROKEN[..] };
            [&plain(random), known[random.usize(..known.len())], &plain(random)].concat()
        }
        3 => (0..random.usize(..12)).map(|_| random.char(' '..='\u{10ffff}')).collect::<String>().into_bytes(),
        _ => [marker.as_bytes(), format!("-{}", random.u32(..1000)).as_bytes()].concat(),
    }
}

/// Connects, reads the greeting, and carries the exchanges out, up to the first that closes. What is sent is cut at random
/// places: commands come in pieces and several at once, and replies are waited for now and then.
#[track_caller]
pub(super) fn carry_out(
    session: &mut Session,
    random: &mut Rng,
    greeting: &[u8],
    exchanges: &[Exchange],
) -> Result<(), Failure> {
    let mut connection = session.connect()?;
    connection.expect(greeting)?;
    let closing = exchanges.iter().position(|exchange| exchange.closes);
    let (carried_out, dropped) = exchanges.split_at(closing.map_or(exchanges.len(), |at| at + 1));
    // In one piece with what closes the connection: sent later, it would meet a closed one.
    let dropped: Vec<u8> = dropped.iter().take(3).flat_map(|exchange| exchange.input.clone()).collect();

    let mut owed = Vec::new();
    let mut unsent = Vec::new();
    let mut reports = Vec::new();
    for (at, exchange) in carried_out.iter().enumerate() {
        let last = at + 1 == carried_out.len();
        unsent.extend_from_slice(&exchange.input);
        owed.extend_from_slice(&exchange.reply);
        reports.extend(exchange.report.clone());
        if last && exchange.closes {
            unsent.extend_from_slice(&dropped);
            connection.send(&unsent)?;
        } else if last || unsent.len() > LARGEST || random.u8(..3) == 0 {
            let parts = cut(random, &unsent);
            connection.send_split(&parts, Duration::from_millis(random.u64(..3)))?;
        } else {
            continue;
        }
        unsent.clear();
        for (action, data) in reports.drain(..) {
            connection.expects(action, data);
        }
        if random.u8(..4) == 0 {
            connection.expect(&std::mem::take(&mut owed))?;
        }
    }
    connection.expect(&owed)?;
    match closing {
        Some(_) => connection.expect_close().map(drop),
        None => connection.silence(Duration::from_millis(100)),
    }
}

/// In up to five parts.
fn cut<'a>(random: &mut Rng, bytes: &'a [u8]) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    let mut parts = Vec::new();
    for _ in 0..random.u8(..5) {
        let (part, after) = rest.split_at(random.usize(..=rest.len()));
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts.retain(|part| !part.is_empty());
    parts
}
