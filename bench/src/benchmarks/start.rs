//! How long an observer takes to be armed, to be armed again, to prove absence, and to go.

use std::time::Instant;

use portwitness::observers::Observer;

use crate::figure::{Section, Unit};
use crate::load::Load;
use crate::observing;
use crate::pairs::interleave;
use crate::size::Size;
use crate::watcher::Watcher;
use crate::work::listen::Storm;

#[derive(Default)]
struct Sample {
    armed_ms: f64,
    rearmed_ms: Vec<f64>,
    fence_ms: Vec<f64>,
    gone_ms: f64,
    detached_ms: f64,
}

pub(crate) fn run(size: Size) -> anyhow::Result<Section> {
    let mut section = Section::new(
        "Start, re-arm, fence, end",
        "Armed: from the call until everything is recorded. Re-armed: causes switched off and on, and the fence before \
         a case. Fence: every CPU's sentinel has come back. Gone: everything has been read, and the call returns. Detached: so are the programs, in the background. bpftrace and strace: \
         from their start until they report.",
    );
    let fences = size.of(200, 3);
    let samples = interleave(|_| size.rounds(11), &[false, true], |causes| sample(causes, fences))?;
    for (samples, label) in samples.iter().zip(["windows only", "with causes"]) {
        let of = |field: fn(&Sample) -> f64| samples.iter().map(field).collect::<Vec<_>>();
        if let Some(figure) = section.samples(format!("{label}: armed"), &of(|it| it.armed_ms), Unit::Ms) {
            figure.at_most(100.0);
        }
        let rearmed: Vec<f64> = samples.iter().flat_map(|sample| sample.rearmed_ms.clone()).collect();
        if let Some(figure) = section.samples(format!("{label}: re-armed"), &rearmed, Unit::Ms) {
            figure.at_most(1.0);
        }
        let fences: Vec<f64> = samples.iter().flat_map(|sample| sample.fence_ms.clone()).collect();
        if let Some(figure) = section.samples(format!("{label}: fence at rest"), &fences, Unit::Ms) {
            figure.at_most(5.0);
        }
        section.samples(format!("{label}: gone"), &of(|it| it.gone_ms), Unit::Ms);
        section.samples(format!("{label}: detached"), &of(|it| it.detached_ms), Unit::Ms);
    }
    under_load(size, &mut section)?;
    peers(size, &mut section)?;
    Ok(section)
}

fn sample(causes: bool, fences: u64) -> anyhow::Result<Sample> {
    let mut sample = Sample::default();
    let began = Instant::now();
    let mut observer = observing::ebpf(&observing::nowhere(), std::process::id(), causes)?;
    sample.armed_ms = ms(began);
    observer.fence()?;
    for _ in 0..fences {
        let began = Instant::now();
        observer.fence()?;
        sample.fence_ms.push(ms(began));
        if causes {
            observer.set_causes(false)?;
        }
        let began = Instant::now();
        if causes {
            observer.set_causes(true)?;
        }
        observer.fence()?;
        sample.rearmed_ms.push(ms(began));
    }
    let began = Instant::now();
    observer.stop()?;
    sample.gone_ms = ms(began);
    observing::detached()?;
    sample.detached_ms = ms(began);
    Ok(sample)
}

fn under_load(size: Size, section: &mut Section) -> anyhow::Result<()> {
    let mut observer = observing::ebpf(&observing::nowhere(), std::process::id(), false)?;
    let load = Load::of(6)?;
    let fences: Vec<f64> = (0..size.of(100, 2))
        .map(|_| {
            let began = Instant::now();
            observer.fence().map(|()| ms(began))
        })
        .collect::<Result<_, _>>()?;
    section.samples(format!("fence beside {} processes that compute", load.processes()), &fences, Unit::Ms);
    Ok(observer.stop()?)
}

fn peers(size: Size, section: &mut Section) -> anyhow::Result<()> {
    let peers = Watcher::at_hand(size, &mut section.notes);
    for watcher in peers.into_iter().filter(|watcher| watcher.is_peer()) {
        let (mut started, mut gone) = (Vec::new(), Vec::new());
        for _ in 0..size.rounds(3) {
            let began = Instant::now();
            let (watching, mut worker) = watcher.on(&["listen", "1", "1"])?;
            started.push(ms(began));
            worker.go::<Storm>()?;
            let began = Instant::now();
            drop(watching);
            gone.push(ms(began));
        }
        section.samples(format!("{}: armed", watcher.name()), &started, Unit::Ms);
        section.samples(format!("{}: gone", watcher.name()), &gone, Unit::Ms);
    }
    Ok(())
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
