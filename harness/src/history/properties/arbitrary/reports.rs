//! Messages, changes of their socket, and steps of handlers, with any values.

use proptest::prelude::*;

use super::{endpoint, time};
use crate::endpoint::Tgid;
use crate::history::*;
use crate::properties::text;

pub(super) fn message() -> impl Strategy<Value = Message> {
    let frame = (any::<u64>(), text()).prop_map(|(length, head)| Frame { length, head });
    prop_oneof![
        text().prop_map(|topic| Message::Welcome { topic }),
        (text(), report(), prop::collection::vec(flaw(), 0..3)).prop_map(|(topic, report, flaws)| Message::Report {
            topic,
            report,
            flaws
        }),
        (text(), prop::collection::vec(frame, 0..3))
            .prop_map(|(reason, frames)| Message::Undecodable { reason, frames }),
    ]
}

pub(crate) fn report() -> impl Strategy<Value = Report> {
    let data = prop::option::of(prop::collection::vec((text(), text()), 0..3));
    (any::<Option<u64>>(), text(), text(), text(), data).prop_map(|(ts, kind, ip, action, data)| Report {
        ts,
        kind,
        ip,
        action,
        data,
    })
}

fn flaw() -> impl Strategy<Value = Flaw> {
    prop_oneof![
        prop::collection::vec(text(), 0..3).prop_map(|found| Flaw::KeyOrder { found }),
        (text(), text(), text()).prop_map(|(field, wanted, found)| Flaw::WrongType { field, wanted, found }),
        text().prop_map(|field| Flaw::Missing { field }),
        text().prop_map(|field| Flaw::Unexpected { field }),
        any::<u64>().prop_map(|bytes| Flaw::Trailing { bytes }),
    ]
}

pub(super) fn change() -> impl Strategy<Value = ReportsChange> {
    prop_oneof![
        (text(), text()).prop_map(|(endpoint, topic)| ReportsChange::Bound { endpoint, topic }),
        prop::sample::select(vec![
            ReportsChange::Unbound,
            ReportsChange::Held,
            ReportsChange::Connected,
            ReportsChange::Disconnected
        ]),
        text().prop_map(|reason| ReportsChange::Refused { reason }),
        (any::<u64>(), time()).prop_map(|(messages, since)| ReportsChange::Backlog { messages, since }),
        any::<u64>().prop_map(|messages| ReportsChange::Drained { messages }),
        any::<(u64, u64)>().prop_map(|(missing, waited_ms)| ReportsChange::Settled { missing, waited_ms }),
        any::<u64>().prop_map(|messages| ReportsChange::Stopped { messages }),
        text().prop_map(|reason| ReportsChange::Died { reason }),
    ]
}

pub(super) fn handling() -> impl Strategy<Value = Handling> {
    (0u64..4, step()).prop_map(|(handler, step)| Handling { handler, step })
}

fn step() -> impl Strategy<Value = HandlerStep> {
    let connection = 0u32..3;
    let address = any::<Option<std::net::IpAddr>>();
    let how = prop::sample::select(vec![
        ConnectionEnd::Eof,
        ConnectionEnd::Reset,
        ConnectionEnd::Closed,
        ConnectionEnd::Aborted,
    ]);
    prop_oneof![
        (text(), text(), endpoint(), address, (text(), any::<u32>())).prop_map(
            |(name, minipot, target, address, (marker, pid))| HandlerStep::Start {
                name,
                minipot,
                target,
                address,
                marker,
                pid: Tgid(pid)
            }
        ),
        (connection.clone(), time(), prop::option::of(endpoint()), prop::option::of(text()))
            .prop_map(|(connection, began, local, error)| HandlerStep::Connect { connection, began, local, error }),
        (connection.clone(), any::<u64>(), text()).prop_map(|(connection, bytes, head)| HandlerStep::Sent {
            connection,
            bytes,
            head
        }),
        (connection.clone(), any::<u64>(), text()).prop_map(|(connection, bytes, head)| HandlerStep::Received {
            connection,
            bytes,
            head
        }),
        (connection.clone(), how).prop_map(|(connection, how)| HandlerStep::Over { connection, how }),
        (connection, report(), time()).prop_map(|(connection, report, began)| HandlerStep::Expects {
            connection,
            report,
            began
        }),
        (text(), text(), text()).prop_map(|(place, expected, seen)| HandlerStep::Failed { place, expected, seen }),
        end().prop_map(|outcome| HandlerStep::End { outcome }),
    ]
}

fn end() -> impl Strategy<Value = HandlerEnd> {
    prop_oneof![
        Just(HandlerEnd::Done),
        Just(HandlerEnd::Failed),
        text().prop_map(|reason| HandlerEnd::Broken { reason }),
        (text(), text()).prop_map(|(status, said)| HandlerEnd::Crashed { status, said }),
        any::<u64>().prop_map(|after_ms| HandlerEnd::TimedOut { after_ms }),
        text().prop_map(|line| HandlerEnd::Garbage { line }),
    ]
}
