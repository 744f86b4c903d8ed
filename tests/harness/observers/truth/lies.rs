//! Negative control: whatever an actor lies about, and whatever an observer gets wrong, the comparison finds.

use portwitness::endpoint::SocketId;
use portwitness::history::{Event, Record, TcpState};
use portwitness::observers::ebpf::Rung;

use super::super::stage::learns_the_peer_later;
use super::claim::{Claim, Did};
use super::compare::differences;
use super::{View, Witness, alone};

/// More than passes between any two things that an actor does here.
const LONG: u64 = 60_000_000_000;

/// A true account of a few scenarios, and the record of it.
const SCENARIOS: [&str; 7] =
    ["plain", "refused-listen", "duplicate", "reuse-port", "dual-stack", "held-by-child", "uring-accept"];

/// Each way to lie about a claim; none when there is nothing to lie about.
fn lies(claim: &Claim) -> Vec<(&'static str, Claim)> {
    let mut all = Vec::new();
    let mut lie = |what, change: &dyn Fn(&mut Claim) -> bool| {
        let mut lied = claim.clone();
        if change(&mut lied) {
            all.push((what, lied));
        }
    };
    lie("a time too early", &|claim| {
        (claim.after_ns, claim.before_ns) = (Some(claim.before_ns - 1), claim.before_ns.saturating_sub(LONG));
        true
    });
    lie("a time too late", &|claim| {
        (claim.before_ns, claim.after_ns) = (claim.after_ns.unwrap() + 1, Some(claim.after_ns.unwrap() + LONG));
        true
    });
    lie("another process", &|claim| claim.by.tgid.as_mut().map(|tgid| *tgid += 1).is_some());
    lie("another thread", &|claim| claim.by.tid.as_mut().map(|tid| *tid += 1).is_some());
    lie("another name", &|claim| claim.by.comm.as_mut().map(|comm| comm.push('x')).is_some());
    lie("another namespace", &|claim| {
        claim.netns += 1;
        // Only sockets have one in a record.
        !matches!(claim.did, Did::Called { .. } | Did::Forked { .. } | Did::Executed | Did::Exited { .. })
    });
    lie("another port", &|claim| match &mut claim.did {
        Did::Opened(name) | Did::Closed(name) | Did::Refused(name) => {
            name.at.set_port(name.at.port() + 1);
            true
        }
        Did::Connected { local, .. } | Did::Accepted { local, .. } => {
            local.set_port(local.port() + 1);
            true
        }
        _ => false,
    });
    lie("another address", &|claim| match &mut claim.did {
        Did::Opened(name) | Did::Closed(name) | Did::Refused(name) => {
            name.at.set_ip("127.0.0.9".parse().unwrap());
            true
        }
        _ => false,
    });
    lie("another kind of IPv6", &|claim| match &mut claim.did {
        Did::Opened(name) | Did::Closed(name) | Did::Refused(name) => {
            name.ipv6_only = !name.ipv6_only;
            true
        }
        _ => false,
    });
    lie("the opposite", &|claim| match claim.did.clone() {
        Did::Opened(name) => {
            claim.did = Did::Closed(name);
            true
        }
        Did::Closed(name) => {
            claim.did = Did::Opened(name);
            true
        }
        _ => false,
    });
    lie("an end of another kind", &|claim| match claim.did.clone() {
        Did::Closed(name) => {
            claim.did = Did::Refused(name);
            true
        }
        Did::Refused(name) => {
            claim.did = Did::Closed(name);
            true
        }
        _ => false,
    });
    lie("another result", &|claim| match &mut claim.did {
        Did::Called { result, .. } => {
            *result += 1;
            true
        }
        Did::Exited { status } => {
            *status += 1;
            true
        }
        Did::Forked { child } => {
            *child += 1;
            true
        }
        _ => false,
    });
    lie("another descriptor", &|claim| match &mut claim.did {
        Did::Called { fd, .. } => {
            *fd += 100;
            true
        }
        _ => false,
    });
    all
}

/// Each way to record a thing wrongly that an actor claims.
fn errors(record: &Record) -> Vec<(&'static str, Record)> {
    let mut all = Vec::new();
    let mut error = |what, change: &dyn Fn(&mut Record) -> bool| {
        let mut wrong = record.clone();
        if change(&mut wrong) {
            all.push((what, wrong));
        }
    };
    error("a time too early", &|record| {
        record.at.0 = record.at.0.saturating_sub(LONG);
        true
    });
    error("a time too late", &|record| {
        record.at.0 += LONG;
        true
    });
    error("an uncertain time", &|record| {
        record.uncertainty_ns = 1;
        true
    });
    error("another socket", &|record| match &mut record.event {
        Event::SocketState(change) => {
            change.socket = SocketId(change.socket.0 + 64);
            true
        }
        _ => false,
    });
    all
}

/// Whether the comparison makes something of this record, other than a state on a connection's way.
fn is_compared(record: &Record) -> bool {
    match &record.event {
        Event::SocketState(change) => {
            change.remote.is_none() && !(change.to == TcpState::SynRecv && learns_the_peer_later())
        }
        Event::Syscall(_) | Event::Process(_) => true,
        _ => false,
    }
}

#[test]
fn a_lying_actor_and_a_wrong_record_are_found_out() {
    alone(|| {
        let mut witness = Witness::start(View::Ebpf(Rung::TpBtf));
        let sight = witness.sight(true);
        let mut told = 0;
        for scenario in SCENARIOS {
            let (claims, records) = witness.watch(scenario);
            let found = differences(&claims, &records, sight);
            assert_eq!(found, Vec::<String>::new(), "{scenario}");
            let mut caught = |what: &str, about: String, claims: &[Claim], records: &[Record]| {
                told += 1;
                assert!(!differences(claims, records, sight).is_empty(), "{scenario}: {what} goes unnoticed: {about}");
            };
            for index in 0..claims.len() {
                if matches!(claims[index].did, Did::Paused | Did::Skipped { .. }) {
                    continue;
                }
                let about = || format!("{:?}", claims[index]);
                let mut changed = claims.clone();
                changed.remove(index);
                caught("an omission", about(), &changed, &records);
                let mut changed = claims.clone();
                changed.push(claims[index].clone());
                caught("an invention", about(), &changed, &records);
                for (what, lie) in lies(&claims[index]) {
                    let mut changed = claims.clone();
                    changed[index] = lie;
                    caught(what, about(), &changed, &records);
                }
            }
            for index in (0..records.len()).filter(|index| is_compared(&records[*index])) {
                let about = || format!("{:?}", records[index]);
                let mut changed = records.clone();
                changed.remove(index);
                caught("a missing record", about(), &claims, &changed);
                let mut changed = records.clone();
                changed.push(records[index].clone());
                caught("a record too many", about(), &claims, &changed);
                for (what, error) in errors(&records[index]) {
                    let mut changed = records.clone();
                    changed[index] = error;
                    caught(what, about(), &claims, &changed);
                }
            }
        }
        println!("{told} lies and errors were found out");
        assert!(told > 500, "{told}");
    });
}

/// The misleading rows of the table, told the way one would think: each close(2) is taken for the end of the port.
#[test]
fn a_close_that_closed_nothing_is_found_out() {
    alone(|| {
        let mut witness = Witness::start(View::Ebpf(Rung::TpBtf));
        let sight = witness.sight(true);
        for scenario in ["duplicate", "held-by-child", "in-flight", "bound-only"] {
            let (mut claims, records) = witness.watch(scenario);
            assert_eq!(differences(&claims, &records, sight), Vec::<String>::new(), "{scenario}");
            let close = |claim: &&Claim| matches!(&claim.did, Did::Called { name, .. } if name == "close");
            let close = claims.iter().find(close).unwrap().clone();
            let name = claims.iter().find_map(|claim| match claim.did {
                Did::Opened(name) => Some(name),
                _ => None,
            });
            let at = "127.0.0.1:7008".parse().unwrap();
            let name = name.unwrap_or(super::claim::Name { listener: 0, at, ipv6_only: false });
            claims.retain(|claim| !matches!(claim.did, Did::Closed(_)));
            claims.push(Claim { did: Did::Closed(name), ..close });
            let found = differences(&claims, &records, sight).join("\n");
            assert!(found.contains("too late") || found.contains("not recorded"), "{scenario}: {found}");
        }
    });
}
