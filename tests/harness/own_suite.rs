//! A suite of one's own, through the public API alone: a case that panics, one that hangs, one that has no evidence.

use std::path::Path;
use std::time::Duration;

use portwitness::case::{Case, Context, Step, step};
use portwitness::checks::{Check, Conversations, Judgement, ListenersAre, PortWindow, Traffic};
use portwitness::clients::payload::Payload;
use portwitness::clients::{ClientContext, echo};
use portwitness::handlers::Scenario;
use portwitness::observers::ebpf::EbpfSettings;
use portwitness::report::Everyone;
use portwitness::runner::{Campaign, Interrupt, Observation, Ran, Settings, run};
use portwitness::store::RunDir;
use portwitness::suite::{Group, Plan};
use portwitness::sut::Profile;

use crate::observers::stage;
use crate::support::processes_with;

/// The reference's server alone: its websocket port listens.
const PROFILE: &str = r#"
name = "a server"
suite = "own"
[endpoints]
web = "127.0.0.1:7000"
[[process]]
name = "server"
command = ["${bin}/reference-tunnel", "server", "--websocket", "${endpoint.web}", "--reconnect-timeout-secs", "1"]
listens = ["web"]
"#;

fn case<F, R>(number: &str, deadline: Duration, checks: Vec<Check>, workload: F) -> Case
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    Case {
        number: number.into(),
        title: format!("case {number}"),
        spec: "none".into(),
        need: None,
        workload: step(workload),
        deadline,
        checks,
    }
}

/// Runs cases in the calling process, which is a test's own; none breaks off.
fn judged(cases: Vec<Case>) -> Judgement {
    let ran = ran(cases, Interrupt::never);
    assert!(ran.broken_off.is_none(), "{:?}", ran.broken_off);
    ran.judgement
}

fn ran(cases: Vec<Case>, interrupt: impl FnOnce() -> Interrupt) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::parse(Path::new("own"), PROFILE).unwrap();
    let plan = Plan {
        backends: vec![("echo".into(), "127.0.0.1:7001".parse().unwrap())],
        pause: Duration::ZERO,
        groups: vec![Group::new("own/all", cases)],
    };
    let settings = Settings {
        suite: "own".into(),
        effort: "quick".into(),
        seed: 1,
        observation: Observation::Ebpf(EbpfSettings::default()),
        second_witness: None,
    };
    let place = RunDir::create(folder.path(), "own").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut nobody = Everyone(Vec::new());
    // A signal is listened to within the runtime.
    let ran =
        runtime.block_on(async { run(plan, &profile, settings, &place, interrupt(), &mut nobody).await }).unwrap();
    let here = std::fs::canonicalize(place.path()).unwrap();
    let left = processes_with("reference-tunnel")
        .into_iter()
        .filter(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&here)));
    assert_eq!(left.count(), 0, "no process of the system is left");
    ran
}

async fn one_echo(context: Context, group: &str) {
    let client = ClientContext::new(&context.recorder, group, "127.0.0.1:7001".parse().unwrap());
    echo::echo(&client, Payload::new(context.seed, 1, 1000)).await;
}

fn traffic() -> Vec<Check> {
    vec![Check::Traffic(Traffic { group: "echo".into(), planned: 1, at_least: 1, ..Traffic::default() })]
}

#[test]
fn a_trigger_that_never_happened_leaves_the_window_unknown() {
    stage::alone(|| {
        let window = PortWindow {
            port: "web".into(),
            endpoint: "127.0.0.1:7000".parse().unwrap(),
            trigger: "trigger".into(),
            closes_within_ms: Some(1000.0),
            reopens: None,
        };
        let trigger =
            Traffic { group: "trigger".into(), planned: 1, at_least: 1, is_trigger: true, ..Traffic::default() };
        let checks = vec![Check::PortWindow(window), Check::Traffic(trigger)];
        let judgement = judged(vec![case("1.1", Duration::from_secs(20), checks, |context| async move {
            // Nobody listens there: the connect is refused, and no byte is written.
            let client = ClientContext::new(&context.recorder, "trigger", "127.0.0.1:7009".parse()?);
            echo::echo(&client, Payload::literal(*b"go")).await;
            Ok(())
        })]);
        let case = &judgement.cases[0];
        assert_eq!(case.verdict.word(), "unknown", "{case:?}");
        let says = |name: &str| case.checks.iter().find(|check| check.name == name).unwrap().verdict.to_string();
        assert!(says("window of web").contains("the trigger never happened"), "{case:?}");
        assert!(says("traffic of trigger").contains("refused"), "{case:?}");
    });
}

#[test]
fn what_goes_wrong_in_a_case_ends_that_case_alone() {
    stage::alone(|| {
        let long = Duration::from_secs(20);
        let judgement = judged(vec![
            case("1.1", long, traffic(), |context| async move {
                one_echo(context, "echo").await;
                panic!("this case is broken")
            }),
            case("1.2", Duration::from_millis(300), traffic(), |_| std::future::pending()),
            case("1.3", long, traffic(), |_| async { anyhow::bail!("no way to do this") }),
            case("1.4", long, traffic(), |_| async { Ok(()) }),
            case("1.5", long, Vec::new(), |context| async move {
                one_echo(context, "echo").await;
                Ok(())
            }),
        ]);
        let verdicts: Vec<String> = judgement.cases.iter().map(|case| case.verdict.to_string()).collect();
        assert!(verdicts[0].contains("the case panicked: this case is broken"), "{verdicts:?}");
        assert!(verdicts[1].contains("did not end within"), "{verdicts:?}");
        assert!(verdicts[2].contains("no way to do this"), "{verdicts:?}");
        assert!(verdicts[3].contains("no client connected"), "{verdicts:?}");
        // The echo reached a backend of ours alone: the observer, which follows the system, saw nothing of it.
        assert!(verdicts[4].contains("saw the other end of none"), "{verdicts:?}");
        assert!(judgement.cases.iter().all(|case| case.verdict.word() == "unknown"));
        assert_eq!((judgement.suites[0].unknown, judgement.suites[0].passed), (5, 0));
    });
}

/// A case of one handler: a shell script that takes the place of its process.
fn handled(number: &str, script: &'static str) -> Case {
    let checks = vec![Check::Conversations(Conversations { at_least: 1 })];
    case(number, Duration::from_secs(20), checks, move |context| async move {
        let folder = tempfile::tempdir()?;
        let program = folder.path().join("handler");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n"))?;
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let scenario = Scenario::coded("x", "ftp", "127.0.0.1:7001".parse()?);
        let scenario = Scenario { deadline: Duration::from_millis(200), ..scenario };
        Campaign::new(&context)?.of_program(program).converse(vec![scenario]).await?;
        Ok(())
    })
}

#[test]
fn a_handler_that_crashes_or_hangs_is_a_finding_and_the_run_goes_on() {
    stage::alone(|| {
        let judgement = judged(vec![
            handled("1.1", "echo no way >&2; kill -SEGV $$"),
            handled("1.2", "exec sleep 600"),
            handled("1.3", "echo nonsense"),
        ]);
        let verdicts: Vec<String> = judgement.cases.iter().map(|case| case.verdict.to_string()).collect();
        assert!(verdicts[0].contains("crashed (signal 11): no way"), "{verdicts:?}");
        assert!(verdicts[1].contains("did not end within 2200 ms and was killed"), "{verdicts:?}");
        assert!(verdicts[2].contains("nonsense"), "{verdicts:?}");
        assert_eq!(judgement.suites[0].failed, 3);
    });
}

#[test]
fn an_interrupt_before_a_case_begins_leaves_its_checks_out() {
    stage::alone(|| {
        // The server listens elsewhere, so that this fails wherever it is judged.
        let wrong = |number: &str, need: Option<Step>| {
            let checks = vec![Check::ListenersAre(ListenersAre { endpoints: vec!["127.0.0.1:7002".parse().unwrap()] })];
            let long = Duration::from_secs(20);
            Case { need, ..case(number, long, checks, |_| async { Ok(()) }) }
        };
        let unmet = step(|_| async { anyhow::bail!("the system is elsewhere") });
        let interrupted = step(|_| async {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM)?;
            std::future::pending().await
        });
        let cases = vec![wrong("1.1", None), wrong("1.2", Some(unmet)), wrong("1.3", Some(interrupted))];
        let ran = ran(cases, || Interrupt::listen().unwrap());
        assert!(ran.broken_off.is_some());
        let verdicts: Vec<String> = ran.judgement.cases.iter().map(|case| case.verdict.to_string()).collect();
        let suite = &ran.judgement.suites[0];
        assert_eq!([suite.failed, suite.unknown], [2, 1], "{verdicts:?}");
        assert!(verdicts[2].contains("interrupted"), "{verdicts:?}");
        let names: Vec<&str> = ran.judgement.cases[2].checks.iter().map(|check| check.name.as_str()).collect();
        assert_eq!(names, ["carried out", "coverage", "causality", "alive"]);
    });
}

#[test]
fn a_need_that_is_not_met_has_the_system_started_anew() {
    stage::alone(|| {
        let long = Duration::from_secs(20);
        // What a case needs, the second start of the system has and the first has not.
        let needs_the_second = |number: &str| {
            let need = step(|context: Context| async move {
                anyhow::ensure!(context.generation == 2, "generation {}", context.generation);
                Ok(())
            });
            Case { need: Some(need), ..case(number, long, Vec::new(), |_| async { Ok(()) }) }
        };
        let judgement = judged(["1.1", "1.2", "1.3"].map(needs_the_second).into());
        let carried_out = |number: usize| {
            let checks = &judgement.cases[number].checks;
            checks.iter().find(|check| check.name == "carried out").unwrap().verdict.to_string()
        };
        assert!(carried_out(0).contains("generation 1"), "{}", carried_out(0));
        assert_eq!([carried_out(1), carried_out(2)], ["pass", "pass"], "it is started once, and not again");
    });
}
