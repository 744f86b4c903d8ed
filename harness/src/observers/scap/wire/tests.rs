//! Events of both APIs, and bytes that are none.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::super::fake::{event, number};
use super::*;
use crate::properties::config;

const BOUND: [u8; 7] = [2, 127, 0, 0, 1, 80, 0];
/// 127.0.0.1:4000 to 127.0.0.11:38080.
const TUPLE: [u8; 13] = [2, 127, 0, 0, 1, 0xa0, 0x0f, 127, 0, 0, 11, 0xc0, 0x94];

fn at(text: &str) -> Option<Endpoint> {
    Some(text.parse().unwrap())
}

fn call(code: u16, parameters: &[&[u8]]) -> Call {
    match Event::try_from(&event(5, 7, code, parameters)[..]).unwrap() {
        Event { realtime: 5, tid: 7, what: What::Call(call) } => call,
        other => panic!("{other:?}"),
    }
}

fn plain(name: &'static str, phase: SyscallPhase) -> Call {
    Call { name, phase, fd: None, argument: None, address: None, tuple: None }
}

const ENTER: SyscallPhase = SyscallPhase::Enter;

fn exit(result: i64) -> SyscallPhase {
    SyscallPhase::Exit(result)
}

#[test]
fn api_1_tells_each_thing_once() {
    assert_eq!(call(4, &[&number(9)]), Call { fd: Some(9), ..plain("close", ENTER) });
    assert_eq!(call(5, &[&number(-9)]), plain("close", exit(-9)));
    let listen = call(24, &[&number(3), &128_u32.to_le_bytes()]);
    assert_eq!(listen, Call { fd: Some(3), argument: Some(128), ..plain("listen", ENTER) });
    assert_eq!(call(21, &[&number(0), &BOUND]), Call { address: at("127.0.0.1:80"), ..plain("bind", exit(0)) });
    assert_eq!(call(22, &[&number(3), &[]]), Call { fd: Some(3), ..plain("connect", ENTER) }, "its page was not there");
    let how = call(36, &[&number(3), &[1]]);
    assert_eq!(how, Call { fd: Some(3), argument: Some(1), ..plain("shutdown", ENTER) });
}

#[test]
fn api_8_tells_all_at_the_exit() {
    assert_eq!(call(5, &[&number(0), &number(9)]), Call { fd: Some(9), ..plain("close", exit(0)) });
    let connected = call(23, &[&number(-115), &TUPLE, &number(3), &BOUND]);
    let ends = Tuple { local: "127.0.0.1:4000".parse().unwrap(), remote: "127.0.0.11:38080".parse().unwrap() };
    let told = Call { fd: Some(3), address: at("127.0.0.1:80"), tuple: Some(ends), ..plain("connect", exit(-115)) };
    assert_eq!(connected, told);
    let dup = call(363, &[&number(9), &number(3), &number(9)]);
    assert_eq!(dup, Call { fd: Some(3), argument: Some(9), ..plain("dup2", exit(9)) });
}

#[test]
fn the_one_who_accepts_is_the_second_end() {
    let accepted = call(389, &[&number(12), &TUPLE, &[0], &[0; 4], &[0; 4], &[0; 4]]);
    let ends = Tuple { local: "127.0.0.11:38080".parse().unwrap(), remote: "127.0.0.1:4000".parse().unwrap() };
    assert_eq!(accepted, Call { tuple: Some(ends), ..plain("accept4", exit(12)) });
}

#[test]
fn addresses_of_both_families_are_read() {
    let mut v6 = vec![10];
    v6.extend(std::net::Ipv6Addr::LOCALHOST.octets());
    v6.extend(443_u16.to_le_bytes());
    assert_eq!(endpoint(&v6), at("[::1]:443"));
    v6[1..17].copy_from_slice(&Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().octets());
    assert_eq!(endpoint(&v6), at("10.0.0.1:443"));
    assert_eq!(endpoint(b"\x01/run/socket\0"), None, "a unix socket");
    assert_eq!(endpoint(&BOUND[..6]), None);
    assert_eq!(tuple("connect", &TUPLE[..12]), None);
}

#[test]
fn a_clone_tells_who_was_made() {
    let nothing: &[u8] = &[];
    let (result, tid, pid, ptid, flags) = (number(0), number(31), number(30), number(20), CLONE_THREAD.to_le_bytes());
    let mut parameters = vec![nothing; 21];
    (parameters[0], parameters[3], parameters[4], parameters[5]) = (&result, &tid, &pid, &ptid);
    (parameters[13], parameters[15]) = (b"worker\0", &flags);
    let what = Event::try_from(&event(5, 31, 335, &parameters)[..]).unwrap().what;
    let comm = "worker".into();
    assert_eq!(what, What::Cloned { result: 0, parent: 20, tgid: 30, flags: CLONE_THREAD, comm });
    let what = Event::try_from(&event(5, 30, 293, &parameters)[..]).unwrap().what;
    assert_eq!(what, What::Executed { tgid: 30, parent: 20, comm: "worker".into() });
}

#[test]
fn what_lacks_a_parameter_is_garbage_and_what_is_not_wanted_is_not() {
    let lacking = |code, parameters: &[&[u8]]| Event::try_from(&event(5, 7, code, parameters)[..]).unwrap_err();
    assert_eq!(lacking(5, &[]), Garbage::Parameter { code: 5, index: 0, bytes: 0 });
    assert_eq!(lacking(5, &[&[1, 2, 3]]), Garbage::Parameter { code: 5, index: 0, bytes: 8 });
    assert_eq!(lacking(335, &[&number(1)]), Garbage::Parameter { code: 335, index: 4, bytes: 8 });
    assert_eq!(Event::try_from(&[0; 25][..]), Err(Garbage::TooShort));
    let mut cut = event(5, 7, 5, &[&number(0)]);
    cut.truncate(30);
    assert_eq!(Event::try_from(&cut[..]), Err(Garbage::TooShort));
    assert_eq!(Event::try_from(&event(5, 7, 400, &[])[..]).unwrap().what, What::Other);
}

proptest! {
    #![proptest_config(config(3000))]

    #[test]
    fn any_bytes_are_an_event_or_garbage(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        code in 0u16..400,
        count in 0u32..40,
        known in any::<bool>(),
    ) {
        let mut bytes = bytes;
        if known && bytes.len() >= 26 {
            bytes[20..22].copy_from_slice(&code.to_le_bytes());
            bytes[22..26].copy_from_slice(&count.to_le_bytes());
        }
        if let Err(garbage) = Event::try_from(&bytes[..]) {
            prop_assert!(!garbage.to_string().is_empty());
        }
    }

    #[test]
    fn any_parameters_of_any_event_are_understood_or_garbage(
        code in 0u16..400,
        parameters in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..24),
    ) {
        let parameters: Vec<&[u8]> = parameters.iter().map(Vec::as_slice).collect();
        if let Ok(Event { what: What::Call(call), .. }) = Event::try_from(&event(1, 2, code, &parameters)[..]) {
            prop_assert!(!call.name.is_empty());
        }
    }
}
