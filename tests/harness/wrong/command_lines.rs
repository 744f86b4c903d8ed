//! Wrong command lines.

use super::Table;

#[test]
fn wrong_command_lines() {
    let mut table = Table::new();
    table.file("a-file", "");
    std::fs::create_dir(table.path().join("a-folder")).unwrap();
    for (what, arguments) in [
        ("unknown command", &["rnu"][..]),
        ("unknown option", &["run", "tunnel", "--nonsense"]),
        ("unknown suite", &["run", "nowhere"]),
        ("unknown suite for doctor", &["doctor", "nowhere"]),
        ("unknown group", &["run", "tunnel", "--suite", "tunnel/nothing"]),
        ("case that is no number", &["run", "tunnel", "--case", "two"]),
        ("case from back to front", &["run", "tunnel", "--case", "2.6-2.5"]),
        ("case that there is not", &["run", "tunnel", "--case", "9.1", "--case", "2.99-2.100"]),
        ("unknown system", &["run", "tunnel", "--sut", "referense"]),
        ("profile that is not there", &["run", "tunnel", "--sut", "./mine.toml"]),
        ("folder as profile", &["run", "tunnel", "--sut", "a-folder"]),
        ("empty file as profile", &["run", "tunnel", "--sut", "a-file"]),
        ("effort that there is not", &["run", "tunnel", "--profile", "medium"]),
        ("setting that the profile does not have", &["run", "tunnel", "--set", "colour=red"]),
        ("--set without a value", &["run", "tunnel", "--set", "colour"]),
        ("duration in words", &["run", "tunnel", "--set", "reconnect_timeout_secs=soon"]),
        ("negative duration", &["run", "tunnel", "--set", "reconnect_timeout_secs=-1"]),
        ("duration with a unit", &["run", "tunnel", "--set", "reconnect_timeout_secs=15s"]),
        ("duration without an end", &["run", "tunnel", "--set", "reconnect_timeout_secs=inf"]),
        ("duration of days", &["run", "tunnel", "--set", "reconnect_timeout_secs=100000"]),
        ("address that is none", &["run", "tunnel", "--sut", "reference", "--set", "endpoint.websocket=bad"]),
        ("address without a port", &["run", "tunnel", "--sut", "reference", "--set", "endpoint.websocket=127.0.0.1"]),
        ("port 0", &["run", "tunnel", "--sut", "reference", "--set", "endpoint.websocket=127.0.0.1:0"]),
        ("port above 65535", &["run", "tunnel", "--sut", "reference", "--set", "endpoint.websocket=127.0.0.1:70000"]),
        (
            "name instead of an address",
            &["run", "tunnel", "--sut", "reference", "--set", "endpoint.websocket=localhost:80"],
        ),
        (
            "endpoint that the profile does not have",
            &["run", "tunnel", "--sut", "reference", "--set", "endpoint.web=127.0.0.1:80"],
        ),
        (
            "endpoint that collides with another",
            &["run", "tunnel", "--sut", "reference", "--set", "endpoint.websocket=0.0.0.0:38001"],
        ),
        (
            "endpoint that collides with a backend",
            &["run", "tunnel", "--sut", "reference", "--set", "endpoint.websocket=127.0.0.14:39001"],
        ),
        ("ring that is no power of two", &["run", "tunnel", "--ring-bytes", "100000"]),
        ("ring that is too small", &["run", "tunnel", "--ring-bytes", "4096"]),
        ("ring in megabytes", &["run", "tunnel", "--ring-bytes", "2M"]),
        ("observer that there is not", &["run", "tunnel", "--observer", "ebpf"]),
        ("network that there is not", &["run", "tunnel", "--network", "bridge"]),
        ("seed that is no number", &["run", "tunnel", "--seed", "random"]),
        ("runs below a file", &["run", "tunnel", "--sut", "reference", "--runs", "a-file/runs"]),
        ("runs where nothing can be made", &["run", "tunnel", "--sut", "reference", "--runs", "/proc/runs"]),
        ("fault that the reference does not have", &["list", "tunnel", "--sut", "reference", "--set", "falt=x"]),
        ("judge without a run", &["judge"]),
        ("window without a port", &["window"]),
        ("window of port 0", &["window", "--port", "0"]),
        ("window in words", &["window", "--port", "9", "--closes-within", "soon"]),
        ("window of a port where nobody listens", &["window", "--port", "9", "--closes-within", "1s"]),
        ("watch of a process that is not there", &["watch", "--pid", "999999999"]),
        ("watch of a state that there is not", &["watch", "--state", "listening"]),
        ("watch of a name", &["watch", "--addr", "localhost"]),
        ("record without a command", &["record"]),
        ("record of a program that is not there", &["record", "-o", "recorded", "--", "/nowhere/program"]),
        ("record where nothing can be made", &["record", "-o", "/proc/recorded", "--", "true"]),
    ] {
        table.row(what, arguments);
    }
    table.check("command_lines");
}
