//! What a run costs as its cases, ports and events become ten and a hundred times as many.

use crate::figure::{Section, Unit};
use crate::size::Size;
use crate::work::whole_run::Cost;
use crate::worker::Worker;

pub(crate) fn run(size: Size) -> anyhow::Result<Section> {
    let mut section = Section::new(
        "The cost of a run as it grows",
        "Whole runs as a user starts them: observer, system, cases, fences, verdicts, history in a file. The base is 3 \
         cases of 30 echoes on 3 ports; then one of the three grows, the others stay. Judging again reads the file.",
    );
    let base = [3_u64, 3, 30];
    for (index, what) in ["cases", "ports", "echoes a case"].into_iter().enumerate() {
        let mut first: Option<Cost> = None;
        let mut last = 0;
        for times in [1, 10, 100] {
            let mut plan = base;
            plan[index] = size.of(base[index] * times, 1);
            // A small share of two sizes may be the same.
            if plan[index] == last {
                continue;
            }
            last = plan[index];
            let cost: Cost =
                Worker::spawn(&["run", &plan[0].to_string(), &plan[1].to_string(), &plan[2].to_string()])?.go()?;
            let label = |of: &str| format!("{} {what}: {of}", plan[index]);
            section.value(label("run"), cost.run_s, Unit::S);
            section.value(label("judge again"), cost.judge_s, Unit::S);
            section.value(label("peak memory"), cost.peak_bytes / (1 << 20) as f64, Unit::MiB);
            section.value(label("history"), cost.history_bytes / 1024.0, Unit::KiB);
            section.value(label("records"), cost.records, Unit::Count);
            match &first {
                None => first = Some(cost),
                Some(one) if times == 100 => {
                    let records = cost.records / one.records;
                    section.value(label("records, against the first"), records, Unit::Times);
                    let judged = cost.judge_s / one.judge_s;
                    section.value(label("judge again, against the first"), judged, Unit::Times);
                }
                Some(_) => {}
            }
        }
    }
    Ok(section)
}
