//! The two ends of a connection as two witnesses tell of them.

use std::collections::HashMap;

use super::SLACK_NS;
use super::calls::Call;
use crate::clock::Timestamp;
use crate::endpoint::Endpoint;
use crate::history::{Event, Record, Source, TcpState, Tuple};

/// When sockets were closed for good, by their ends and by eBPF's account.
#[derive(Debug, Default)]
pub(super) struct Closed(HashMap<(Endpoint, Endpoint), Timestamp>);

impl Closed {
    /// From records in the order of time.
    pub(super) fn by_ebpf(records: &[Record]) -> Self {
        let mut closed = HashMap::new();
        for record in records.iter().filter(|record| record.source == Source::Ebpf) {
            if let Event::SocketState(change) = &record.event
                && let (TcpState::Close, Some(remote)) = (change.to, change.remote)
            {
                closed.entry((change.local, remote)).or_insert(record.at);
            }
        }
        Self(closed)
    }

    /// What the two do not have in common of the ends with which accept or connect was left, in words.
    ///
    /// Of a socket that the other side has reset meanwhile scap may tell anything: the kernel does not name its other end any
    /// more, and API 1 does not look whether it did (`fd_to_socktuple` in `driver/ppm_events.c`).
    pub(super) fn ends_unlike(&self, ours: &Call<'_>, theirs: &Call<'_>) -> Option<String> {
        let (one, other) = (ends(ours)?, theirs.call.tuple?);
        if alike(one.local, other.local) && alike(one.remote, other.remote) {
            return None;
        }
        let was_closed =
            self.0.get(&(one.local, one.remote)).is_some_and(|at| at.0 <= theirs.exit.0.saturating_add(SLACK_NS));
        let shown = |tuple: Tuple| format!("{} <-> {}", tuple.local, tuple.remote);
        (!was_closed).then(|| format!("the endpoints differ, {} and {}", shown(one), shown(other)))
    }
}

/// Where the socket has no other end any more, because its connect(2) was refused: that which it was to have.
fn ends(ours: &Call<'_>) -> Option<Tuple> {
    let given = || ours.call.address.filter(|_| ours.class == "connect");
    let unknown = Endpoint::new([0, 0, 0, 0].into(), 0);
    ours.call.tuple.or_else(|| given().map(|remote| Tuple { local: unknown, remote }))
}

/// Whether two accounts can be of one end. Zeros stand for what is not known: scap tells of a refused connect(2) without its own
/// address, and of one to a wildcard what it was given.
fn alike(one: Endpoint, other: Endpoint) -> bool {
    let unknown = |end: Endpoint| end.ip().is_unspecified();
    let addresses = one.ip() == other.ip() || unknown(one) || unknown(other);
    addresses && (one.port() == other.port() || [one.port(), other.port()].contains(&0))
}
