//! What a report, and its message, says.

use rmpv::Value;

use super::{ftp, smtp_login};
use crate::{
    ftp_login,
    proxy::{correct, decode},
    system::{SOON, System},
};

/// The message with the report of a login by FTP.
fn login(fault: &str) -> Vec<Vec<u8>> {
    let (_system, mut proxy, mut client) = ftp(fault);
    ftp_login(&mut client, "me", "secret");
    proxy.next(SOON).unwrap();
    proxy.next(SOON).unwrap()
}

#[test]
fn wrong_in_form() {
    for (fault, wrong) in [
        ("extra-frame", "3 frames"),
        ("wrong-topic", "topic test/minipot/reports"),
        ("wrong-key-order", r#"keys ["ts", "type", "action", "ip", "data"]"#),
        ("extra-field", r#"keys ["ts", "type", "ip", "action", "data", "port"]"#),
        ("float-ts", "ts is no unsigned integer"),
    ] {
        assert_eq!(correct(&login(fault)), Err(wrong.into()), "{fault}");
    }
    let bin = correct(&login("bin-for-str")).unwrap_err();
    assert!(bin.ends_with("is no str"), "{bin}");
    let ts = correct(&login("wrong-ts")).unwrap_err();
    assert!(ts.starts_with("ts "), "{ts}");
    let map = decode(&login("wrong-ts")[1]);
    assert!(matches!(&map[0].1, Value::Integer(ts) if ts.is_u64()));
}

#[test]
fn wrong_in_content() {
    for (fault, report) in [
        ("none", "ftp 127.0.0.1 login username=me password=secret"),
        ("wrong-field", "ftp 127.0.0.1 login username=me password=secre"),
        ("wrong-data-order", "ftp 127.0.0.1 login password=secret username=me"),
        ("missing-field", "ftp 127.0.0.1 login username=me"),
        ("wrong-type-word", "FTP 127.0.0.1 login username=me password=secret"),
        ("wrong-ip", "ftp 127.0.0.0 login username=me password=secret"),
        ("mapped-ip", "ftp ::ffff:127.0.0.1 login username=me password=secret"),
    ] {
        assert_eq!(correct(&login(fault)).as_deref(), Ok(report), "{fault}");
    }
}

#[test]
fn wrong_in_smtp() {
    let login = "smtp 127.0.0.1 login password=secret mechanism=plain our_domain=";
    for fault in ["none", "wrong-domain", "splits-at-first"] {
        let (system, mut proxy) = System::with_fault(fault);
        let host = smtp_login(&mut system.connect(system.smtp));
        let expected = match fault {
            "wrong-domain" => format!("{login}mx0.elsewhere.org domain=cz username=me@here"),
            "splits-at-first" => format!("{login}{host} domain=here@cz username=me"),
            _ => format!("{login}{host} domain=cz username=me@here"),
        };
        assert_eq!(proxy.reports(2)[1], expected, "{fault}");
    }
}

#[test]
fn wrong_about_text() {
    let (_system, mut proxy, mut client) = ftp("reports-any-text");
    client.say(b"USER a\xff\r\nPASS b\0\r\n");
    assert_eq!(proxy.reports(2)[1], "ftp 127.0.0.1 login username=a\u{fffd} password=b\0");

    let (system, mut proxy) = System::with_fault("no-user-agent");
    let mut client = system.connect(system.http);
    client.say("GET / HTTP/1.1\r\nUser-Agent: x\r\n\r\n");
    assert_eq!(client.answer(), 401);
    assert_eq!(proxy.reports(2)[1], "http 127.0.0.1 message method=GET url=/");
}
