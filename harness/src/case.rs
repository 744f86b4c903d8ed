//! A case: what it needs, what it does, which checks judge it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::checks::Check;
use crate::history::Recorder;
use crate::observers::reports::ReportsHandle;
use crate::observers::{Observer, ObserverError};

/// Something that a case does, as a future; an error says why it could not be carried out, and makes the case unknown.
pub type Step = Arc<dyn Fn(Context) -> StepFuture + Send + Sync>;

/// What a [`Step`] returns.
pub type StepFuture = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// Makes a [`Step`] of an async closure.
pub fn step<F, R>(act: F) -> Step
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    Arc::new(move |context| Box::pin(act(context)))
}

/// Starts something that watches a group of cases, beside the run's own observer.
pub type Witness = Arc<dyn Fn(&Recorder) -> Result<Box<dyn Observer>, ObserverError> + Send + Sync>;

/// One numbered test.
#[derive(Clone)]
pub struct Case {
    /// Its number in the suite, for example `2.6`.
    pub number: String,
    /// In words.
    pub title: String,
    /// Where the specification has it.
    pub spec: String,
    /// Brings the system to where the case begins; not part of what is judged. Where it fails the case cannot pass, and where an
    /// interrupt ends it `checks` do not judge the case.
    pub need: Option<Step>,
    /// The workload.
    pub workload: Step,
    /// The workload is ended after this long.
    pub deadline: Duration,
    /// What judges it, beside what judges every case of its group.
    pub checks: Vec<Check>,
}

/// What a step works with.
#[derive(Clone)]
pub struct Context {
    /// Where everything is recorded.
    pub recorder: Recorder,
    /// The seed of this case: it follows from the run's seed and the case's number.
    pub seed: u64,
    /// How often the system has been started in this run: what was known of an earlier start no longer holds.
    pub generation: u64,
    /// Where the system's reports come in, for a profile with `[reports]`.
    pub reports: Option<ReportsHandle>,
}
