//! Groups 10 to 12: what was there before the capture, storms, and what attaching and detaching leaves behind.

use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use portwitness::case::{Case, Context, Step, Witness, step};
use portwitness::checks::{Check, LeavesNothing, SinspCheck, Storm};
use portwitness::history::{Event, Source};
use portwitness::observers::{Observer, ObserverError};
use portwitness::suite::Group;
use rustix::process::{Pid, Signal, kill_process};

use super::{case, every_respect};
use crate::sinsp::module;
use crate::sinsp::stage::{OWN_CALLS, Place, Stage, record};

pub(super) fn groups(stage: &Arc<Stage>) -> Vec<Group> {
    vec![older(stage), storm(stage), overflow(stage), traces(stage), beside(stage)]
}

/// A traffic program that was started before the capture.
type Holder = Arc<Mutex<Option<(Child, Place)>>>;

fn older(stage: &Arc<Stage>) -> Group {
    let holder = Holder::default();
    let calls = ["accept", "sendto 5", "recvfrom 5", "shutdown 0", "close 0"].map(str::to_owned).into();
    let checks = vec![Check::Sinsp(SinspCheck::Provoked { calls })];
    let (own, of_case) = (Arc::clone(stage), Arc::clone(&holder));
    let witness: Witness = Arc::new(move |recorder| {
        let failed = |doing: &str, source| ObserverError::Io { doing: doing.into(), source };
        let started = hold(&own).map_err(|source| failed("starting the traffic program", source))?;
        *holder.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
        Ok(Box::new(own.capture(recorder, OWN_CALLS)?) as Box<dyn Observer>)
    });
    let workload = step(move |context: Context| {
        let holder = Arc::clone(&of_case);
        async move {
            let held = holder.lock().unwrap_or_else(PoisonError::into_inner).take();
            let (mut child, _place) = held.context("the traffic program was not started before the capture")?;
            let output = tokio::task::spawn_blocking(move || {
                child.stdin.take().map(|mut input| input.write_all(b".")).transpose()?;
                child.wait_with_output()
            });
            record(&output.await??, &context)
        }
    });
    let cases = vec![case("10.1".into(), "a connection from before the capture", workload, checks)];
    Group { judged_by: every_respect(stage), witness: Some(witness), ..Group::new("sinsp/older", cases) }
}

/// The traffic program, once it has a connection.
fn hold(stage: &Stage) -> std::io::Result<(Child, Place)> {
    let place = Place::new().map_err(std::io::Error::other)?;
    let mut command = std::process::Command::new(stage.traffic());
    command.arg("hold").current_dir(&place.0).envs(Stage::environment());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut said = [0; 6];
    if let Some(output) = &mut child.stdout {
        output.read_exact(&mut said)?;
    }
    Ok((child, place))
}

/// As many as libsinsp prints on a slow machine.
const STORM: &str = "1500";
/// 100 bytes and more of each in one ring of 8 MiB.
const FLOOD: &str = "120000";

fn storm(stage: &Arc<Stage>) -> Group {
    let own = Arc::clone(stage);
    let workload = step(move |context| {
        let stage = Arc::clone(&own);
        async move { stage.play(&context, &["storm", STORM]).await }
    });
    let storm = Storm { calls: vec!["socket".into()], overflows: false };
    let cases = vec![case(
        "11.1".into(),
        "a storm is captured, or counted as lost",
        workload,
        vec![of(SinspCheck::Storm(storm))],
    )];
    Group {
        judged_by: [SinspCheck::Schema].map(Check::Sinsp).into(),
        witness: Some(stage.witness("proc.name=traffic and evt.type=socket")),
        ..Group::new("sinsp/storm", cases)
    }
}

/// The reader rests while rings fill up.
fn overflow(stage: &Arc<Stage>) -> Group {
    let own = Arc::clone(stage);
    let workload = step(move |context: Context| {
        let stage = Arc::clone(&own);
        async move {
            let reader = capturing(&context).context("nobody captures")?;
            kill_process(reader, Signal::STOP)?;
            let played = stage.play(&context, &["storm", FLOOD]).await;
            kill_process(reader, Signal::CONT)?;
            played
        }
    });
    let storm = Storm { calls: vec!["socket".into(), "close".into()], overflows: true };
    let mut flood =
        case("11.2".into(), "what a resting reader loses is counted", workload, vec![of(SinspCheck::Storm(storm))]);
    flood.deadline = Duration::from_secs(180);
    // Nothing is printed: it is the library that reads.
    let witness = stage.witness("proc.name=traffic and evt.type=socketpair");
    Group { judged_by: Vec::new(), witness: Some(witness), ..Group::new("sinsp/overflow", vec![flood]) }
}

/// The process that captures now.
fn capturing(context: &Context) -> Option<Pid> {
    context.recorder.records(|records| {
        records.iter().rev().find_map(|record| match &record.event {
            Event::Sinsp(portwitness::history::SinspSaid::Started(capture)) => Pid::from_raw(capture.pid as i32),
            _ => None,
        })
    })
}

/// A capture comes and goes: in order, and killed.
fn traces(stage: &Arc<Stage>) -> Group {
    let cases = vec![
        trace(stage, "12.1", "attach and detach leave no trace", Signal::INT),
        trace(stage, "12.2", "a killed capture leaves no trace", Signal::KILL),
    ];
    Group { judged_by: Vec::new(), ..Group::new("sinsp/traces", cases) }
}

fn trace(stage: &Arc<Stage>, number: &str, title: &str, end: Signal) -> Case {
    let own = Arc::clone(stage);
    let workload = step(move |context: Context| {
        let stage = Arc::clone(&own);
        async move {
            let look = |moment: &str| {
                context.recorder.record(Source::Procfs, Event::Module(module::state(moment, stage.program())));
            };
            look("before");
            let mut capture = stage.capture(&context.recorder, OWN_CALLS)?;
            capture.fence()?;
            look("during");
            match end {
                Signal::KILL => drop(capture),
                _ => Box::new(capture).stop()?,
            }
            look("after");
            Ok(())
        }
    });
    let check = LeavesNothing { before: "before".into(), during: "during".into(), after: "after".into() };
    case(number.into(), title, workload, vec![of(SinspCheck::LeavesNothing(check))])
}

/// Another reader comes and goes while one captures.
fn beside(stage: &Arc<Stage>) -> Group {
    let own = Arc::clone(stage);
    let calls = vec!["connect 0".to_owned(), "accept".to_owned()];
    let checks = vec![of(SinspCheck::Provoked { calls })];
    let workload: Step = step(move |context: Context| {
        let stage = Arc::clone(&own);
        async move {
            // Mapped: a program that only asks for versions opens a device too.
            let rings = || module::state("", stage.program()).mapped_rings;
            let before = rings();
            let mut other = stage.command("evt.type=socketpair");
            let mut other = other.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
            let deadline = Instant::now() + Duration::from_secs(30);
            while rings() == before && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let attached = rings() > before;
            let played = stage.play(&context, &["play", "accept-tcp4"]).await;
            // In the midst of what it reads.
            other.kill()?;
            other.wait()?;
            ensure!(attached, "no other reader could be attached");
            played
        }
    });
    let cases = vec![case("12.3".into(), "another reader comes and goes", workload, checks)];
    Group {
        judged_by: every_respect(stage),
        witness: Some(stage.witness(OWN_CALLS)),
        ..Group::new("sinsp/beside", cases)
    }
}

fn of(check: SinspCheck) -> Check {
    Check::Sinsp(check)
}
