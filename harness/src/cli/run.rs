//! `run`: a suite against a system.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::observing::{Observing, Witness};
use super::{CliError, find_suite};
use crate::checks::Judgement;
use crate::clock::Timestamp;
use crate::exit_code::Exit;
use crate::observers::scap::ScapObserver;
use crate::report::terminal::to_stderr;
use crate::report::{self, Report, Reporter};
use crate::runner::{self, Interrupt, Observation, Ran, RunError, Sabotage, SecondWitness};
use crate::store::RunDir;
use crate::suite::{CasePattern, Effort, Filter, Plan, Suite};
use crate::sut::guardian::Territory;
use crate::sut::profile::Network;
use crate::sut::{Profile, ProfileError, hosts};

/// Which cases, on which system.
#[derive(Args)]
pub(super) struct Selection {
    /// The suite (default: the first that this program has).
    suite: Option<String>,
    /// The system under test: a built-in profile by name, or the path of a TOML profile.
    #[arg(long, value_name = "NAME|PATH")]
    sut: Option<String>,
    /// How much is done: `quick` ends in minutes, `full` has the sizes and times of the specification.
    #[arg(long, value_enum, default_value_t = Effort::Quick)]
    profile: Effort,
    /// Only these groups, for example `tunnel/failover`; may be repeated.
    #[arg(long = "suite", value_name = "GROUP")]
    groups: Vec<String>,
    /// Only these cases: `2.6`, `2.5-2.8`, or `2`; may be repeated.
    #[arg(long = "case", value_name = "NUMBER")]
    cases: Vec<CasePattern>,
    /// Replace a setting of the profile, or a port (`endpoint.NAME=ADDRESS:PORT`); may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The network that the run takes place in (default: as the profile says).
    #[arg(long, value_enum)]
    network: Option<NetworkChoice>,
}

#[derive(Clone, Copy, ValueEnum)]
enum NetworkChoice {
    /// A network namespace made for the run.
    Private,
    /// The caller's network.
    Host,
}

#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    observing: Observing,
    /// Do not record the system calls (who called listen, close, connect, ...).
    #[arg(long)]
    no_causes: bool,
    /// Everything random follows from it (default: from the clock).
    #[arg(long)]
    seed: Option<u64>,
    /// The folder of the run directories (default: target/portwitness).
    #[arg(long, value_name = "DIR")]
    runs: Option<PathBuf>,
    /// JSON lines on standard output: one a verdict.
    #[arg(long)]
    json: bool,
    /// Who else watches: each case is then judged by whether the two agree on every call of the system.
    #[arg(long, value_enum, value_name = "WITNESS", conflicts_with = "no_causes")]
    second_witness: Option<Second>,
    /// Negative control: an observer loses records, dies or lies.
    #[arg(long, value_enum, hide = true)]
    sabotage: Option<Sabotage>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Second {
    /// The scap module, which must be loaded (`cargo xtask kmod load`, or a VM: `cargo xtask run --vm`).
    Scap,
}

impl Selection {
    /// `tunnel`, or `tunnel` of `tunnel/failover`.
    pub(super) fn suite_name(&self) -> Option<&str> {
        let first_group = self.groups.first().and_then(|group| group.split_once('/')).map(|(suite, _)| suite);
        self.suite.as_deref().or(first_group)
    }

    /// The profile with its overrides, and the plan with what the filters leave of it.
    pub(super) fn plan(&self, suite: &Suite) -> Result<(Profile, Plan), CliError> {
        let mut profile = self.load(suite)?;
        if self.profile == Effort::Quick {
            profile.quicken();
        }
        for text in &self.set {
            profile.set(text).map_err(|error| CliError::new(Exit::Usage, error))?;
        }
        let planned = (suite.plan)(&profile, self.profile);
        let checked = planned.and_then(|plan| profile.check_collisions(&plan.backends).map(|()| plan));
        let mut plan = checked.map_err(|error| CliError::new(self.to_blame(&error), error))?;
        let groups = plan.groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>().join(", ");
        Filter { suites: self.groups.clone(), cases: self.cases.clone() }.apply(&mut plan);
        if plan.groups.is_empty() {
            let why = anyhow::anyhow!(
                "no case matches {}; `list` shows them all; the groups are {groups}",
                self.filters().join(" and ")
            );
            return Err(CliError::new(Exit::NothingRan, why));
        }
        Ok((profile, plan))
    }

    /// Whether a profile that does not go together is wrong itself, or was made so on the command line.
    fn to_blame(&self, error: &ProfileError) -> Exit {
        let is_set = match error {
            ProfileError::WrongType { key, .. } => self.set.iter().any(|set| set.split('=').next() == Some(key)),
            ProfileError::Collision { .. } => self.set.iter().any(|set| set.starts_with("endpoint.")),
            _ => false,
        };
        if is_set { Exit::Usage } else { Exit::SetupFailed }
    }

    /// The filters as they were given.
    fn filters(&self) -> Vec<String> {
        let groups = self.groups.iter().map(|group| format!("`--suite {group}`"));
        groups.chain(self.cases.iter().map(|case| format!("`--case {case}`"))).collect()
    }

    pub(super) fn network(&self, profile: &Profile) -> Network {
        match self.network {
            Some(NetworkChoice::Private) => Network::Private,
            Some(NetworkChoice::Host) => Network::Host,
            None => profile.network,
        }
    }

    fn load(&self, suite: &Suite) -> Result<Profile, CliError> {
        let built_in = match &self.sut {
            Some(wanted) => suite.profiles.iter().find(|(name, _)| name == wanted),
            None => suite.profiles.first(),
        };
        let names = suite.profiles.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let profile = match (built_in, &self.sut) {
            (Some((name, text)), _) => Profile::parse(&PathBuf::from(format!("built-in profile {name}")), text)?,
            (None, Some(path)) if !path.contains(['/', '.']) && !Path::new(path).exists() => {
                let why = anyhow::anyhow!(
                    "there is no system `{path}`: `--sut` takes the name of a built-in profile ({names}) or the path of a \
                     TOML file"
                );
                return Err(CliError::new(Exit::Usage, why));
            }
            (None, Some(path)) => Profile::load(path.as_ref())?,
            (None, None) => {
                let why =
                    anyhow::anyhow!("the suite {} has no built-in profile: name one with `--sut PATH`", suite.name);
                return Err(CliError::new(Exit::Usage, why));
            }
        };
        if profile.suite != suite.name {
            let (name, found) = (profile.name, profile.suite);
            return Err(ProfileError::OtherSuite { name, found, wanted: suite.name.into() }.into());
        }
        Ok(profile)
    }
}

pub(super) fn run(suites: &[Suite], options: &Options) -> Result<Exit, CliError> {
    let suite = find_suite(suites, options.selection.suite_name())?;
    let (profile, plan) = options.selection.plan(suite)?;
    let network = match options.observing.observer {
        // Without privileges there is no namespace to be made.
        Witness::SockDiag if !is_root() && options.selection.network.is_none() => {
            to_stderr("not root: the run takes place in the host's network\n");
            Network::Host
        }
        _ => options.selection.network(&profile),
    };
    require_privileges(options.observing.observer)?;
    let second_witness = options.second_witness()?;
    // Before any thread is started: threads inherit the namespace of the one that starts them, and a guardian has none.
    let territory = match network {
        Network::Private => {
            hosts::enter_private()?;
            Territory::Namespace
        }
        Network::Host => Territory::Marked,
    };
    let _guardian = hosts::post_guardian(territory);
    hosts::adopt_orphans();
    let place = RunDir::create(&options.runs.clone().unwrap_or_else(default_runs), suite.name)?;
    let settings = runner::Settings {
        suite: suite.name.into(),
        effort: options.selection.profile.to_string(),
        seed: options.seed.unwrap_or_else(|| Timestamp::now().0 % 1_000_000_007),
        observation: options.observation(),
        second_witness,
    };
    let mut reporter = report::Everyone(vec![Box::new(report::terminal::Progress::default())]);
    if options.json {
        reporter.0.push(Box::new(report::json::Lines));
    }
    // Processes are launched by this thread, and die with it; so the runtime stays on it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let running = async {
        let interrupt = Interrupt::listen()?;
        Ok::<_, CliError>(runner::run(plan, &profile, settings, &place, interrupt, &mut reporter).await?)
    };
    // A panic on its way up ends the system and closes the history.
    let ran = catch_unwind(AssertUnwindSafe(|| runtime.block_on(running)));
    finish(ran.map_err(|panic| panicked(panic.as_ref(), &place))??, &place, &mut reporter)
}

fn panicked(panic: &(dyn Any + Send), place: &RunDir) -> CliError {
    let (said, place) = (runner::said(panic), place.path().display());
    let why = anyhow::anyhow!(
        "portwitness panicked, which is a fault of its own: {said}; what was recorded is kept: `judge {place}` gives the \
         verdicts"
    );
    CliError::new(Exit::SetupFailed, why)
}

/// Writes the reports, shows them, and tells the exit code.
fn finish(ran: Ran, place: &RunDir, reporter: &mut dyn Reporter) -> Result<Exit, CliError> {
    let exit = exit_code(ran.broken_off.as_ref(), &ran.judgement);
    let notes = ran.broken_off.iter().map(|error| format!("the run broke off: {error}")).collect();
    let report = Report { run: ran.run, judgement: ran.judgement, notes, exit_code: exit as u8 };
    let written = report::json::write(&report, &place.report()).and(report::junit::write(&report, &place.junit()));
    reporter.end(&report, place.path());
    if let Err(error) = written {
        let place = place.path().display();
        let why = anyhow::anyhow!(
            "could not write the reports to {place}: {error}; free some space or use `--runs DIR`; `judge {place}` gives the \
             verdicts of what was recorded"
        );
        return Err(CliError::new(Exit::SetupFailed, why));
    }
    Ok(exit)
}

fn exit_code(broken_off: Option<&RunError>, judgement: &Judgement) -> Exit {
    match broken_off {
        Some(RunError::Interrupted) => Exit::Interrupted,
        // A dead observer makes verdicts unknown; the run was set up all right.
        Some(RunError::Observer(_)) if judgement.rung.is_some() => Exit::of(&judgement.verdict),
        Some(_) => Exit::SetupFailed,
        None => Exit::of(&judgement.verdict),
    }
}

impl Options {
    fn observation(&self) -> Observation {
        let causes = !self.no_causes;
        match (self.sabotage.filter(|how| !how.is_of_scap()), self.observing.ebpf(causes)) {
            (Some(how), Some(settings)) => Observation::Sabotaged(settings, how),
            _ => self.observing.observation(causes),
        }
    }

    /// An error when it cannot be had: before anything has begun.
    fn second_witness(&self) -> Result<Option<SecondWitness>, CliError> {
        let Some(Second::Scap) = self.second_witness else { return Ok(None) };
        if self.observing.observer == Witness::SockDiag {
            let why = "a second witness is compared with the system calls that eBPF records, and sock-diag sees none: leave \
                       `--observer` or `--second-witness` out";
            return Err(CliError::new(Exit::Usage, anyhow::anyhow!(why)));
        }
        ScapObserver::probe()?;
        let sabotage = self.sabotage.filter(|how| how.is_of_scap());
        Ok(Some(sabotage.map_or(SecondWitness::Scap, SecondWitness::SabotagedScap)))
    }
}

fn require_privileges(witness: Witness) -> Result<(), CliError> {
    if witness == Witness::SockDiag || is_root() {
        return Ok(());
    }
    Err(anyhow::anyhow!(
        "not root: watching the kernel with eBPF and making a network namespace need it; run it with sudo, or watch without \
         privileges, at 1 ms and without connections, with `--observer sock-diag`"
    )
    .into())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// `portwitness` in the target folder that cargo built this program in, else in `target` of the working directory.
pub(super) fn default_runs() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let built = |folder: &&Path| folder.join(".cargo-lock").is_file() || folder.join("deps").is_dir();
    let target = own.parent().filter(built).and_then(Path::parent);
    target.map_or_else(|| PathBuf::from("target"), PathBuf::from).join("portwitness")
}
