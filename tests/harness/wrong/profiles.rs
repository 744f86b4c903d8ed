//! Wrong profiles: each is the reference's with one thing changed.

use super::Table;

const REFERENCE: &str = include_str!("../../tunnel/profiles/reference.toml");

#[test]
fn wrong_profiles() {
    let mut table = Table::new();
    let listens = "listens = [\"client1_to_server_tun1_listen\", \"client1_to_server_tun2_listen\"]";
    for (what, from, to) in [
        ("not TOML", "[settings]", "[settings"),
        ("unknown key", "ready_deadline_ms", "ready_deadline"),
        ("unknown key of a process", listens, "listen = []"),
        ("unknown table", "[settings]", "[setings]\n[settings]"),
        ("key twice", "fault = \"none\"", "fault = \"none\"\nfault = \"flaps\""),
        ("without a name", "name = \"reference-tunnel\"", ""),
        ("deadline in words", "ready_deadline_ms = 10000", "ready_deadline_ms = \"10 s\""),
        ("negative deadline", "ready_deadline_ms = 10000", "ready_deadline_ms = -1"),
        ("network that there is not", "\"private\"", "\"bridge\""),
        ("endpoint that is no address", "127.0.0.11:38080", "localhost:38080"),
        ("endpoint without a port of its own", "127.0.0.11:38080", "127.0.0.11:0"),
        ("endpoints that collide", "127.0.0.12:38012", "127.0.0.12:38011"),
        ("endpoint that collides with a backend", "127.0.0.12:38011", "0.0.0.0:39011"),
        ("endpoint that the suite needs and that is misspelt", "server_to_client_tun2_listen = ", "tun2_listen = "),
        ("endpoint that is missing", "client_to_server_tun2_connect = \"127.0.0.14:39012\"", ""),
        ("another suite's", "suite = \"tunnel\"", "suite = \"relay\""),
        ("setting that is missing", "reconnect_timeout_secs = 15", ""),
        ("[quick] without its setting", "[quick]", "[quick]\nsize = 1"),
        ("setting of another type", "reconnect_timeout_secs = 2.5", "reconnect_timeout_secs = \"short\""),
        ("template that names no setting", "${setting.fault}", "${setting.falt}"),
        ("template that names no endpoint", "${endpoint.websocket}", "${endpoint.web}"),
        ("template that names nothing", "${bin}", "${bim}"),
        ("setting that names itself", "fault = \"none\"", "fault = \"${setting.fault}\""),
        ("two processes of one name", "name = \"client2\"", "name = \"client1\""),
        ("process whose name is a path", "name = \"client2\"", "name = \"../client2\""),
        ("file outside of the folder", listens, "[[process.file]]\npath = \"/etc/passwd\"\ncontent = \"\""),
        ("signal that there is not", listens, "stop = { signal = \"KILL\" }"),
        ("program that is not there", "${bin}/reference-tunnel", "/nowhere/tunnel"),
        ("program that is a folder", "${bin}/reference-tunnel", "${bin}"),
    ] {
        assert!(REFERENCE.contains(from), "{what}: the reference's profile has no `{from}`");
        table.file("p.toml", REFERENCE.replacen(from, to, 1));
        table.row(what, &["run", "tunnel", "--sut", "p.toml", "--case", "1.1", "--runs", "runs", "--seed", "1"]);
    }
    table.file("p.toml", b"name = \"\xff\"\n");
    table.row("not UTF-8", &["run", "tunnel", "--sut", "p.toml"]);
    table.file("p.toml", REFERENCE.split("[[process]]").next().unwrap());
    table.row("without a process", &["run", "tunnel", "--sut", "p.toml"]);
    table.check("profiles");
}
