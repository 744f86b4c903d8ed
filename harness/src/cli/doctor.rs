//! `doctor`: what this machine can observe, what it lacks, and the way out for each.

use clap::Args;

use super::run::Selection;
use super::{CliError, find_suite};
use crate::exit_code::Exit;
use crate::observers::procfs;
use crate::preflight::{self, Finding};
use crate::report::terminal::to_stderr;
use crate::suite::Suite;
use crate::sut::Profile;
use crate::sut::profile::Network;

#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    selection: Selection,
    /// One JSON object a finding, on standard output.
    #[arg(long)]
    json: bool,
}

pub(super) fn doctor(suites: &[Suite], options: &Options) -> Result<Exit, CliError> {
    let mut findings = preflight::capabilities();
    // A program without suites tells of the machine alone.
    if !suites.is_empty() || options.selection.suite_name().is_some() {
        let suite = find_suite(suites, options.selection.suite_name())?;
        let (profile, _) = options.selection.plan(suite)?;
        findings.extend(ports(&profile, options.selection.network(&profile)));
    }
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    for finding in &findings {
        if options.json {
            out!("{}", serde_json::to_string(finding)?);
            continue;
        }
        let word = if finding.ok { "ok     " } else { "lacking" };
        out!("{word}  {:<width$}  {}", finding.name, finding.detail);
        if let (false, Some(way_out)) = (finding.ok, &finding.way_out) {
            out!("         way out: {way_out}");
        }
    }
    let can_observe = preflight::best_rung(&findings);
    let taken = findings.iter().any(|finding| !finding.ok && finding.name.starts_with("port "));
    match can_observe {
        Some(rung) => to_stderr(&format!("this machine observes with {rung}\n")),
        None => to_stderr("this machine cannot observe\n"),
    }
    Ok(if can_observe.is_some() && !taken { Exit::Passed } else { Exit::SetupFailed })
}

/// The ports of a profile: free by construction in a namespace of the run's own, looked up in the host's network.
fn ports(profile: &Profile, network: Network) -> Vec<Finding> {
    profile
        .endpoints
        .iter()
        .map(|(name, endpoint)| {
            let owner = match network {
                Network::Private => None,
                Network::Host => procfs::taken(*endpoint),
            };
            Finding {
                name: format!("port {name}"),
                ok: owner.is_none(),
                detail: match (&owner, network) {
                    (Some(owner), _) => format!("{endpoint} is in use by {owner}"),
                    (None, Network::Private) => format!("{endpoint}, in a network namespace of the run's own"),
                    (None, Network::Host) => format!("{endpoint} is free"),
                },
                way_out: owner.map(|_| format!("stop it, or set another: `--set endpoint.{name}=ADDRESS:PORT`")),
            }
        })
        .collect()
}
