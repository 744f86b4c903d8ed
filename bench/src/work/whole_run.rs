//! A whole run of a suite, as a user starts one, with as many cases, ports and connections as asked for.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portwitness::case::{Case, step};
use portwitness::checks::{Check, PortStays, Traffic, judge_stream};
use portwitness::clients::ClientContext;
use portwitness::clients::echo::echo;
use portwitness::clients::many::concurrent;
use portwitness::clients::payload::Payload;
use portwitness::endpoint::Endpoint;
use portwitness::history::HistoryReader;
use portwitness::observers::ebpf::EbpfSettings;
use portwitness::report::Everyone;
use portwitness::runner::{self, Interrupt, Observation, Settings};
use portwitness::store::RunDir;
use portwitness::suite::{Group, Plan};
use portwitness::sut::Profile;
use serde::{Deserialize, Serialize};

use super::place;
use crate::memory;

/// Connections of a case that are open at once, at the most.
const AT_ONCE: usize = 16;

/// What a run took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// The run, from the observer's start to the verdicts, in s.
    pub(crate) run_s: f64,
    /// Reading the history and judging it once more, in s.
    pub(crate) judge_s: f64,
    /// The most memory that the run ever had, in bytes.
    pub(crate) peak_bytes: f64,
    /// The history's file, in bytes.
    pub(crate) history_bytes: f64,
    /// Records in it.
    pub(crate) records: f64,
}

/// Runs `cases` cases of `connections` echoes each against a process that listens on `ports` ports.
pub(crate) fn run(cases: u64, ports: u16, connections: u64) -> anyhow::Result<Cost> {
    let folder = tempfile::tempdir()?;
    let profile = Profile::parse(Path::new("bench"), &profile(ports)?)?;
    let place = RunDir::create(folder.path(), "bench")?;
    let plan = Plan {
        backends: Vec::new(),
        pause: Duration::ZERO,
        groups: vec![Group::new("bench/echo", (1..=cases).map(|number| case(number, ports, connections)).collect())],
    };
    let settings = Settings {
        suite: "bench".into(),
        effort: "full".into(),
        seed: 1,
        observation: Observation::Ebpf(EbpfSettings::default()),
        second_witness: None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut nobody = Everyone(Vec::new());
    let began = Instant::now();
    let ran = runtime.block_on(runner::run(plan, &profile, settings, &place, Interrupt::never(), &mut nobody))?;
    let run_s = began.elapsed().as_secs_f64();
    let peak_bytes = memory::peak()?;
    anyhow::ensure!(ran.broken_off.is_none(), "the run was broken off: {:?}", ran.broken_off);
    let wrong = ran.judgement.cases.iter().find(|case| case.verdict.word() != "pass");
    anyhow::ensure!(wrong.is_none(), "a case did not pass: {wrong:?}");

    let began = Instant::now();
    let history = HistoryReader::open(&place.history())?;
    let mut records = 0_u64;
    let counted = |record| {
        records += 1;
        record
    };
    let judged = judge_stream(Arc::new(history.run().clone()), history.map(counted))?;
    let judge_s = began.elapsed().as_secs_f64();
    anyhow::ensure!(judged.cases.len() as u64 == cases, "{} cases were judged", judged.cases.len());
    // A long history has several parts.
    let parts = fs::read_dir(place.path())?.filter_map(Result::ok);
    let parts = parts.filter(|part| part.file_name().to_string_lossy().starts_with("history"));
    let history_bytes = parts.map(|part| part.metadata().map_or(0, |data| data.len())).sum::<u64>() as f64;
    Ok(Cost { run_s, judge_s, peak_bytes, history_bytes, records: records as f64 })
}

/// This program again, as an echo on so many ports.
fn profile(ports: u16) -> anyhow::Result<String> {
    let program = std::env::current_exe()?;
    let program = program.to_str().ok_or_else(|| anyhow::anyhow!("the path of this program is no text"))?;
    let endpoints: String = (0..ports).map(|port| format!("p{port} = \"{}\"\n", place(port))).collect();
    let names = (0..ports).map(|port| format!("\"p{port}\"")).collect::<Vec<_>>().join(", ");
    Ok(format!(
        "name = \"an echo\"\nsuite = \"bench\"\n[endpoints]\n{endpoints}[[process]]\nname = \"echo\"\n\
         command = [{program:?}, \"work\", \"echo\", \"{ports}\"]\nlistens = [{names}]\n"
    ))
}

fn case(number: u64, ports: u16, connections: u64) -> Case {
    let port = (number % u64::from(ports)) as u16;
    let traffic = Traffic { group: "echo".into(), planned: connections, at_least: connections, ..Traffic::default() };
    let stays = PortStays { port: format!("p{port}"), endpoint: endpoint(port) };
    Case {
        number: format!("1.{number}"),
        title: format!("{connections} echoes"),
        spec: "none".into(),
        need: None,
        workload: step(move |context| async move {
            let context = Arc::new(context);
            concurrent(connections as usize, AT_ONCE, |index| {
                let context = Arc::clone(&context);
                async move {
                    let target = endpoint((index as u64 % u64::from(ports)) as u16);
                    let client = ClientContext::new(&context.recorder, "echo", target);
                    echo(&client, Payload::new(context.seed, index as u64, 500)).await
                }
            })
            .await;
            Ok(())
        }),
        deadline: Duration::from_secs(120),
        checks: vec![Check::Traffic(traffic), Check::PortStays(stays)],
    }
}

fn endpoint(port: u16) -> Endpoint {
    std::net::SocketAddr::from(place(port)).into()
}
