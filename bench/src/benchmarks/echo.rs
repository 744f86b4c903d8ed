//! What it takes to send 100 MiB to an echo and back, every byte compared and hashed, against the least that it can take.

use std::process::Command;

use anyhow::{Context, ensure};

use crate::figure::{Section, Unit};
use crate::pairs::{Of, field, interleave};
use crate::size::Size;
use crate::stats::ratios;
use crate::watcher::program;
use crate::work::listen::Storm;
use crate::work::{FIRST_PORT, poll};
use crate::worker::Worker;

#[derive(Clone, Copy, PartialEq)]
enum Sender {
    Floor,
    Verified,
    Compared,
    Iperf3,
}

struct Sample {
    cpu_s: f64,
    wall_s: f64,
}

pub(crate) fn run(size: Size) -> anyhow::Result<Section> {
    let mut section = Section::new(
        "100 MiB to an echo and back, with SHA-256",
        "Both ends together. The floor is blocking sockets that send one buffer again and again and hash both directions: \
         nothing is generated, nothing compared. iperf3 sends as much one way, then as much the other way, and neither \
         hashes nor compares.",
    );
    let bytes = size.of(100 << 20, 1 << 20);
    let mut senders = vec![Sender::Floor, Sender::Verified, Sender::Compared];
    if program("iperf3").is_some() {
        senders.push(Sender::Iperf3);
    } else {
        section.notes.push("iperf3 is missing on this machine: not compared".into());
    }
    let samples = interleave(
        |_| size.rounds(9),
        &senders,
        |sender| match sender {
            Sender::Floor => worker("floor", bytes),
            Sender::Verified => worker("verified", bytes),
            Sender::Compared => worker("compared", bytes),
            Sender::Iperf3 => iperf3(bytes),
        },
    )?;
    let (cpu, wall): (Of<Sample>, Of<Sample>) = (|sample| sample.cpu_s, |sample| sample.wall_s);
    let (floor_cpu, floor_wall) = (field(&samples[0], cpu), field(&samples[0], wall));
    section.samples("floor: CPU", &floor_cpu, Unit::S);
    section.samples("floor: wall time", &floor_wall, Unit::S);
    for (sender, own) in senders.iter().zip(&samples).skip(1) {
        let name = match sender {
            Sender::Verified => "portwitness, compared and hashed",
            Sender::Compared => "portwitness, compared",
            Sender::Iperf3 => "iperf3",
            Sender::Floor => continue,
        };
        let figure =
            section.samples(format!("{name}: CPU over the floor"), &ratios(&field(own, cpu), &floor_cpu), Unit::Times);
        if let (Some(figure), Sender::Verified) = (figure, sender) {
            figure.at_most(1.15);
        }
        section.samples(
            format!("{name}: wall time over the floor's"),
            &ratios(&field(own, wall), &floor_wall),
            Unit::Times,
        );
    }
    if let [_, _, compared, iperf3] = &samples[..] {
        let against = ratios(&field(compared, cpu), &field(iperf3, cpu));
        section.samples("portwitness, compared: CPU against iperf3", &against, Unit::Times);
    }
    Ok(section)
}

fn worker(how: &str, bytes: u64) -> anyhow::Result<Sample> {
    let mut worker = Worker::spawn(&["transfer", how, &bytes.to_string()])?;
    let storm: Storm = worker.go()?;
    Ok(Sample { cpu_s: storm.cpu_ns as f64 / 1e9, wall_s: storm.wall_ns as f64 / 1e9 })
}

/// One transfer in each direction; the server ends after one client, and tells its own CPU time through the client's.
fn iperf3(bytes: u64) -> anyhow::Result<Sample> {
    let mut both = Sample { cpu_s: 0.0, wall_s: 0.0 };
    for direction in [&[][..], &["--reverse"]] {
        let port = FIRST_PORT.to_string();
        let mut server = Command::new("iperf3")
            .args(["--server", "--one-off", "--bind", "127.0.0.1", "--port", &port])
            .stdout(std::process::Stdio::null())
            .spawn()
            .context("cannot start iperf3")?;
        let result = wait_for_port(FIRST_PORT).and_then(|()| {
            let mut client = Command::new("iperf3");
            client.args(["--client", "127.0.0.1", "--json", "--port", &port, "--bytes", &bytes.to_string()]);
            client.args(["--length", "256K"]).args(direction).output().context("cannot start iperf3")
        });
        if result.is_err() {
            let _ = server.kill();
        }
        server.wait()?;
        let report: serde_json::Value = serde_json::from_slice(&result?.stdout).context("the report of iperf3")?;
        let number = |pointer: &str| report.pointer(pointer).and_then(serde_json::Value::as_f64);
        // Percentages of one CPU over the time of the test.
        let seconds = number("/end/sum_received/seconds");
        let host = number("/end/cpu_utilization_percent/host_total");
        let remote = number("/end/cpu_utilization_percent/remote_total");
        let (Some(seconds), Some(host), Some(remote)) = (seconds, host, remote) else {
            anyhow::bail!("iperf3 reports no CPU time: {report}");
        };
        ensure!(seconds > 0.0, "iperf3 took no time");
        both.wall_s += seconds;
        both.cpu_s += seconds * (host + remote) / 100.0;
    }
    Ok(both)
}

/// Waits until somebody listens there, without connecting: the server ends after its first client.
fn wait_for_port(port: u16) -> anyhow::Result<()> {
    for _ in 0..500 {
        if poll::listening()?.contains(&port) {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    anyhow::bail!("nobody listens at port {port} after 5 s")
}
