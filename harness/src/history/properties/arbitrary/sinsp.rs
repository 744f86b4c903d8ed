//! What programs on libsinsp and traffic programs may say: plausible enough to belong together at times, and anything else.

use proptest::prelude::*;
use serde_json::json as value;

use super::{json, process, text, time};
use crate::history::*;

pub(super) fn said() -> impl Strategy<Value = SinspSaid> {
    let numbers = (0u64..4, 0u32..4, prop::option::of(any::<u64>()), prop::option::of(any::<u64>()));
    prop_oneof![
        2 => capture().prop_map(SinspSaid::Started),
        6 => event().prop_map(SinspSaid::Event),
        2 => numbers.prop_map(|(number, cpu, drops, read)| SinspSaid::Sentinel { number, cpu, drops, read }),
        2 => (0u64..4, time(), 0u32..3, 0u32..3)
            .prop_map(|(number, began, cpus, seen)| SinspSaid::Fenced { number, began, cpus, seen }),
        1 => (text(), any::<u64>(), text()).prop_map(|(text, bytes, why)| SinspSaid::Unreadable { text, bytes, why }),
        1 => text().prop_map(|text| SinspSaid::Remark { text }),
        1 => (any::<Option<bool>>(), any::<Option<u64>>(), any::<Option<u64>>())
            .prop_map(|(complete, drops, read)| SinspSaid::Ended { complete, drops, read }),
        1 => (text(), any::<bool>()).prop_map(|(how, asked)| SinspSaid::Gone { how, asked }),
    ]
}

fn capture() -> impl Strategy<Value = Capture> {
    let format = prop::sample::select(vec![SinspFormat::SinspEvents, SinspFormat::Sysdig, SinspFormat::SinspExample]);
    let api =
        prop::sample::select(vec![None, Some("1.0.0".to_owned()), Some("8.0.4".to_owned()), Some("99".to_owned())]);
    let schema = prop::sample::select(vec![None, Some("1.0.0".to_owned()), Some("3.5.0".to_owned())]);
    let command = prop::collection::vec(text(), 0..3);
    (command, any::<u32>(), format, text(), api, schema, prop::option::of(text()), prop::option::of(text())).prop_map(
        |(command, pid, format, filter, api, schema, library, unknown)| Capture {
            command,
            pid,
            format,
            filter,
            api,
            schema,
            library,
            unknown,
        },
    )
}

fn event() -> impl Strategy<Value = SinspEvent> {
    let names = prop::sample::select(vec!["close", "connect", "execve", "procexit", "tale"]);
    let params = (prop::sample::select(vec!["fd", "res", "tuple"]), json(), text());
    let plausible = (0u64..8, 0u64..4, names, any::<bool>(), prop::collection::vec(params, 0..3)).prop_map(
        |(num, tid, name, enters, params)| {
            let params: Vec<_> = params
                .into_iter()
                .map(|(name, value, text)| value!({"name": name, "value": value, "text": text, "resolved": ""}))
                .collect();
            let dir = if enters { ">" } else { "<" };
            value!({"type": "event", "num": num, "tid": tid, "name": name, "dir": dir, "params": params, "fields": {"evt.type": name}})
        },
    );
    let flaw = (text(), text()).prop_map(|(pointer, why)| SchemaFlaw { pointer, why });
    let line = prop_oneof![4 => plausible, 1 => json()];
    (prop::option::of(time()), any::<u64>(), line, prop::collection::vec(flaw, 0..2))
        .prop_map(|(happened, give_or_take_ns, line, flaws)| SinspEvent { happened, give_or_take_ns, line, flaws })
}

pub(super) fn statement() -> impl Strategy<Value = Statement> {
    let calls = prop::sample::select(vec!["close", "connect", "execve", "procexit", "accept", "storm", "tale"]);
    let fd = prop::option::of(prop::sample::select(vec![3, BEGINS, ENDS]));
    let address = prop_oneof![
        super::endpoint().prop_map(|endpoint| Address::Inet(endpoint.socket_addr())),
        text().prop_map(Address::Unix),
        Just(Address::Bad),
    ];
    let with = (fd, any::<Option<i64>>(), prop::option::of(address), any::<Option<u64>>(), any::<Option<i64>>())
        .prop_map(|(fd, status, address, times, waiting)| {
            let (local, peer) = (address.clone(), address.clone());
            Arguments { fd, status, address, local, peer, times, waiting, ..Arguments::default() }
        });
    (calls, process(), any::<u32>(), any::<Option<i64>>(), time(), prop::option::of(time()), with).prop_map(
        |(call, mut process, parent, result, before, after, with)| {
            process.tid %= 4;
            Statement { call: call.into(), process, parent, result, before, after, with }
        },
    )
}

pub(super) fn module() -> impl Strategy<Value = ModuleState> {
    let moment = prop::sample::select(vec!["before", "during", "after"]);
    (moment, prop::option::of(0u32..3), 0u32..3, 0u32..3, 0u32..3).prop_map(
        |(moment, references, open_devices, mapped_rings, programs)| ModuleState {
            moment: moment.into(),
            references,
            open_devices,
            mapped_rings,
            programs,
            enabled: Vec::new(),
        },
    )
}
