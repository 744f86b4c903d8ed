//! What handlers expected and what the system reported, as files of their own, whatever the verdict.

use std::io::{BufWriter, Write};
use std::path::Path;

use super::Runner;
use crate::history::{CaseId, Event, HandlerStep, Record};

impl Runner {
    /// Writes `reports/GROUP-NUMBER.expected.jsonl` and `.received.jsonl`, for a case that has any.
    pub(super) fn keep_reports(&self, case: &CaseId) {
        let (expected, received) = self.recorder.records(|records| {
            let begins = |record: &Record| matches!(&record.event, Event::CaseBegin { case: begun, .. } if begun == case);
            // What came before the case belongs to it too.
            let own = records.iter().rposition(begins).unwrap_or(0);
            let expects = |record: &&Record| {
                matches!(&record.event, Event::Handler(step) if matches!(step.step, HandlerStep::Expects { .. }))
            };
            let came = |record: &&Record| matches!(record.event, Event::Message(_));
            let expected: Vec<Record> = records[own..].iter().filter(expects).cloned().collect();
            let received: Vec<Record> = records.iter().filter(came).cloned().collect();
            (expected, received)
        });
        if expected.is_empty() && received.is_empty() {
            return;
        }
        let name = format!("{}-{}", case.suite.replace('/', "-"), case.number);
        for (records, kind) in [(expected, "expected"), (received, "received")] {
            let path = self.kept.join(format!("{name}.{kind}.jsonl"));
            // The history has them all.
            if let Err(error) = write(&path, &records) {
                tracing::warn!(%error, "could not write {}", path.display());
            }
        }
    }
}

fn write(path: &Path, records: &[Record]) -> std::io::Result<()> {
    std::fs::create_dir_all(path.parent().unwrap_or(path))?;
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    for record in records {
        serde_json::to_writer(&mut file, record)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}
