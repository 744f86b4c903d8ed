//! A conversation by turns that were predicted: what is sent is cut at random places, what comes back is read by its framing.

use std::time::{Duration, Instant};

use fastrand::Rng;
use portwitness::handlers::{Connection, Failure};

use super::exchange::Pairs;

/// Something that is sent, and what must come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn<R> {
    /// What is sent.
    pub(super) input: Vec<u8>,
    /// What the system answers, in this order.
    pub(super) replies: Vec<R>,
    /// What the system reports: action, and the pairs of `data`.
    pub(super) report: Option<(&'static str, Option<Pairs>)>,
    /// The system closes the connection then, and what follows is dropped.
    pub(super) closes: bool,
}

/// So much is sent at once, at the most, where no single turn is longer: it fits into one receive.
const LARGEST: usize = 4000;

/// Takes the turns, up to the first that closes: in pieces and several at once, and replies are waited for now and then.
/// `read` reads one reply, and fails when it is another one.
pub(super) fn take<R>(
    connection: &mut Connection,
    random: &mut Rng,
    turns: &[Turn<R>],
    read: impl Fn(&mut Connection, &R) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let closing = turns.iter().position(|turn| turn.closes);
    let (taken, dropped) = turns.split_at(closing.map_or(turns.len(), |at| at + 1));
    let (mut unsent, mut reports, mut owed) = (Vec::new(), Vec::new(), Vec::new());
    for (at, turn) in taken.iter().enumerate() {
        let next = taken.get(at + 1);
        unsent.extend_from_slice(&turn.input);
        reports.extend(turn.report.clone());
        owed.extend(&turn.replies);
        let full = next.is_some_and(|next| unsent.len() + next.input.len() > LARGEST);
        if turn.closes {
            // In one piece with what is dropped: sent later, it would meet a closed connection.
            unsent.extend(dropped.iter().take(2).flat_map(|turn| turn.input.iter().copied()));
            connection.send(&unsent)?;
        } else if next.is_none() || full || random.u8(..3) == 0 {
            connection.send_split(&cut(random, &unsent), Duration::from_millis(random.u64(..3)))?;
        } else {
            continue;
        }
        unsent.clear();
        reports.drain(..).for_each(|(action, data)| connection.expects(action, data));
        if random.u8(..4) == 0 {
            owed.drain(..).try_for_each(|reply| read(connection, reply))?;
        }
    }
    owed.into_iter().try_for_each(|reply| read(connection, reply))?;
    match closing {
        Some(_) => closes_at_once(connection),
        None => connection.silence(Duration::from_millis(100)),
    }
}

/// A connection that is closed later than this was closed by a timeout: HTTP has one of 5 s.
const AT_ONCE: Duration = Duration::from_secs(4);

fn closes_at_once(connection: &mut Connection) -> Result<(), Failure> {
    let began = Instant::now();
    connection.expect_close()?;
    let after = began.elapsed();
    if after < AT_ONCE {
        return Ok(());
    }
    let place = "a predicted conversation".into();
    let seen = format!("it did so after {} ms", after.as_millis());
    Err(Failure::Wrong { place, expected: "the system to close the connection at once".into(), seen })
}

/// In up to five parts, none of them empty.
fn cut<'a>(random: &mut Rng, bytes: &'a [u8]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = (0..random.usize(..5)).map(|_| random.usize(..=bytes.len())).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut from = 0;
    let parts = ends.into_iter().map(|end| &bytes[std::mem::replace(&mut from, end)..end]);
    parts.filter(|part| !part.is_empty()).collect()
}
