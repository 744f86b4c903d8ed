//! What an observer of a given sight has to have recorded, when the claims are true.

use std::fmt;

use portwitness::endpoint::Endpoint;

use super::claim::{By, Claim, Did, Name};

/// What an observer is able to tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    /// It sees this network namespace alone.
    pub(super) only_netns: Option<u32>,
    /// It names who did it.
    pub(super) who: bool,
    /// It follows the actor: processes and connections.
    pub(super) follows: bool,
    /// And its system calls.
    pub(super) calls: bool,
    /// It knows the kernel's structures: namespaces, IPV6_V6ONLY, exit statuses.
    pub(super) structures: bool,
    /// It came at this moment, in ns: what listened then it found listening.
    pub(super) came: u64,
}

/// The status of a process that ended in a way that is not known.
pub(super) const UNKNOWN_STATUS: i32 = -1;

/// What happened, as far as it names what it happened to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Listening(Endpoint),
    Opened(Endpoint),
    Closed(Endpoint),
    Refused(Endpoint),
    Entered(String, i32),
    Left(String, i32, i64),
    Connected(Endpoint, Endpoint),
    Accepted(Endpoint, Endpoint),
    Forked(u32),
    Executed,
    Exited(i32),
}

/// A thing that has to be recorded once, within these moments.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) what: What,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) netns: u32,
    pub(super) by: By,
    pub(super) ipv6_only: Option<bool>,
    pub(super) listener: Option<u32>,
}

/// What the claims let an observer of this sight record.
pub(super) fn expectations(claims: &[Claim], sight: Sight) -> Vec<Expected> {
    let mut expected: Vec<Expected> = claims.iter().flat_map(of_claim).collect();
    // What came and went before the observer is none of its business; what stayed it found.
    let gone: Vec<_> = (expected.iter().filter(|it| matches!(it.what, What::Closed(_)) && it.to < sight.came))
        .map(|it| it.listener)
        .collect();
    expected.retain(|it| it.to >= sight.came || !gone.contains(&it.listener) || it.listener.is_none());
    for it in &mut expected {
        if let What::Exited(status) = &mut it.what
            && !sight.structures
        {
            *status = UNKNOWN_STATUS;
        }
        if let What::Refused(at) = it.what
            && !sight.structures
        {
            it.what = What::Closed(at);
        }
        if let What::Opened(at) = it.what
            && it.to < sight.came
        {
            *it = Expected { what: What::Listening(at), from: sight.came, to: u64::MAX, ..it.clone() };
        }
    }
    expected.retain(|it| {
        let listener = matches!(it.what, What::Listening(_) | What::Opened(_) | What::Closed(_) | What::Refused(_));
        let call = matches!(it.what, What::Entered(..) | What::Left(..));
        it.to >= sight.came
            && (sight.follows || listener)
            && (sight.calls || !call)
            && (!listener || sight.only_netns.is_none_or(|netns| netns == it.netns))
    });
    expected
}

fn of_claim(claim: &Claim) -> Vec<Expected> {
    let of_name = |name: &Name| (Some(name.ipv6_only), Some(name.listener));
    let (what, (ipv6_only, listener)) = match &claim.did {
        Did::Opened(name) => (vec![What::Opened(name.at.into())], of_name(name)),
        Did::Closed(name) => (vec![What::Closed(name.at.into())], of_name(name)),
        Did::Refused(name) => (vec![What::Refused(name.at.into())], of_name(name)),
        Did::Called { name, fd, result } => {
            (vec![What::Entered(name.clone(), *fd), What::Left(name.clone(), *fd, *result)], (None, None))
        }
        Did::Connected { local, remote } => (vec![What::Connected((*local).into(), (*remote).into())], (None, None)),
        Did::Accepted { local, remote } => (vec![What::Accepted((*local).into(), (*remote).into())], (None, None)),
        Did::Forked { child } => (vec![What::Forked(*child)], (None, None)),
        Did::Executed => (vec![What::Executed], (None, None)),
        Did::Exited { status } => (vec![What::Exited(*status)], (None, None)),
        Did::Paused | Did::Skipped { .. } => return Vec::new(),
    };
    let to = claim.after_ns.unwrap_or(u64::MAX);
    what.into_iter()
        .map(|what| {
            let (from, netns, by) = (claim.before_ns, claim.netns, claim.by.clone());
            Expected { what, from, to, netns, by, ipv6_only, listener }
        })
        .collect()
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let By { tgid, tid, comm } = &self.by;
        let number = |number: &Option<u32>| number.map_or("?".into(), |number| number.to_string());
        let (comm, width) = (comm.as_deref().unwrap_or("?"), self.to.saturating_sub(self.from));
        let (tgid, tid) = (number(tgid), number(tid));
        write!(f, "{:?} by {comm}[{tgid}/{tid}] in {} at {} +{width} ns", self.what, self.netns, self.from)
    }
}
