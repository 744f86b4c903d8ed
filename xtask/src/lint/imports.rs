//! Who may name whom inside the harness: the rules that keep its data flowing one way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::source::{Named, Source};

/// The library that the rules are about.
const LIBRARY: &str = "harness/src";

/// Time, places and records: everybody's words.
const LEAVES: [&str; 3] = ["clock", "endpoint", "history"];

/// The parts that write records; they meet only in the runner.
const ROLES: [&str; 5] = ["sut", "clients", "handlers", "backends", "observers"];

/// The modules that may bring roles together.
const MEETING_PLACES: [&str; 3] = ["runner", "cli", "lib"];

/// Outside of pure functions: what reads the world, changes it or waits for it.
const IMPURE: [&str; 12] = [
    "tokio",
    "aya",
    "libc",
    "rustix",
    "procfs",
    "std::fs",
    "std::process",
    "std::thread",
    "std::env",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
];

/// Every place that names what its module may not, a line each.
pub(super) fn violations(sources: &[Source]) -> Vec<String> {
    let own = |source: &&Source| source.path.starts_with(LIBRARY) && !is_test(&source.path);
    let sources: Vec<_> = sources.iter().filter(own).collect();
    let modules: BTreeSet<_> =
        sources.iter().filter_map(|source| module_path(&source.path).into_iter().next()).collect();
    let mut roles = BTreeMap::new();
    let mut found: Vec<_> = sources.iter().flat_map(|source| of_file(source, &modules, &mut roles)).collect();
    for (module, roles) in roles {
        if roles.len() > 1 && !MEETING_PLACES.contains(&module.as_str()) && !ROLES.contains(&module.as_str()) {
            let roles = roles.into_iter().collect::<Vec<_>>().join(", ");
            found.push(format!("{LIBRARY}/{module}: names several roles ({roles}): only the runner does"));
        }
    }
    found
}

/// Tests may name whom they like.
fn is_test(path: &Path) -> bool {
    path.with_extension("").iter().any(|part| part == "tests" || part == "properties")
}

/// Violations inside one file; adds the roles that it names to those of its module.
fn of_file(source: &Source, modules: &BTreeSet<String>, roles: &mut BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let place = module_path(&source.path);
    let Some(module) = place.first().map(String::as_str) else { return Vec::new() };
    let mut found = Vec::new();
    for named in source.paths() {
        let why = match inside(&named, &place) {
            Some(target) if target == module => None,
            Some(target) if modules.contains(&target) => {
                if ROLES.contains(&target.as_str()) {
                    roles.entry(module.to_owned()).or_default().insert(target.clone());
                }
                forbidden(module, &target).map(|why| format!("names `{target}`: {why}"))
            }
            _ if module == "checks" => {
                impure(&named).map(|what| format!("names `{what}`: checks are pure functions of a history"))
            }
            _ => None,
        };
        found.extend(why.map(|why| format!("{}:{}: `{module}` {why}", source.path.display(), named.line)));
    }
    found
}

/// Why `module` may not name `target`, both modules of the library's root.
fn forbidden(module: &str, target: &str) -> Option<&'static str> {
    let (leaf, role) = (LEAVES.contains(&target), ROLES.contains(&target));
    if LEAVES.contains(&module) && !leaf {
        return Some("clock, endpoint and history know only each other");
    }
    if module == "checks" && !leaf {
        return Some("checks know only clock, endpoint and history");
    }
    if ROLES.contains(&module) && role {
        return Some("sut, clients, handlers, backends and observers meet only in the runner");
    }
    if module == "report" && (role || target == "runner") {
        return Some("a report sees verdicts, not who made them");
    }
    None
}

/// The root module that a path leads to, or `None` when it leads out of the library.
fn inside(named: &Named, place: &[String]) -> Option<String> {
    let segments = named.segments.iter().map(String::as_str);
    let ups = segments.clone().take_while(|segment| *segment == "super").count();
    match named.segments.first().map(String::as_str)? {
        "crate" => named.segments.get(1).cloned(),
        "self" => place.first().cloned(),
        "super" if ups < place.len() => place.first().cloned(),
        "super" => named.segments.get(ups).cloned(),
        _ => None,
    }
}

fn impure(named: &Named) -> Option<&'static str> {
    let path = named.segments.join("::");
    IMPURE.into_iter().find(|what| path == **what || path.strip_prefix(what).is_some_and(|rest| rest.starts_with("::")))
}

/// `harness/src/sut/profile.rs` is `[sut, profile]`, `harness/src/lib.rs` is `[lib]`.
fn module_path(path: &Path) -> Vec<String> {
    let relative = path.strip_prefix(LIBRARY).unwrap_or(path).with_extension("");
    relative.iter().map(|part| part.to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A library with every module that the rules speak of, and this text in one file of it.
    fn found(path: &str, text: &str) -> Vec<String> {
        let modules = LEAVES.iter().chain(&ROLES).chain(&["checks", "report", "runner", "case", "error"]);
        let mut sources: Vec<_> = modules.map(|name| Source::new(&format!("{LIBRARY}/{name}.rs"), "//! x\n")).collect();
        sources.push(Source::new(&format!("{LIBRARY}/{path}"), text));
        violations(&sources)
    }

    #[test]
    fn what_the_design_allows_passes() {
        for (path, text) in [
            ("history/jsonl.rs", "use crate::clock::Timestamp; use super::Record;"),
            (
                "checks/traffic.rs",
                "use crate::history::History; use super::Verdict; use std::net::{IpAddr, SocketAddr};",
            ),
            ("observers/ebpf.rs", "use crate::history::Recorder; use tokio::time; use super::Observer;"),
            ("runner/drain.rs", "use crate::{observers::Ebpf, sut::Sut, clients::echo};"),
            ("case/needs.rs", "use crate::sut::Profile;"),
            ("checks/model.rs", "#[cfg(test)]\nmod tests { use std::fs; }"),
            ("history/properties.rs", "use crate::checks::judge;"),
            ("checks/tests/ports.rs", "use crate::error::Error;"),
        ] {
            assert_eq!(found(path, text), Vec::<String>::new(), "{path}");
        }
    }

    #[test]
    fn each_rule_catches_its_violation() {
        for (path, text, word) in [
            ("clock/drift.rs", "use crate::error::Error;", "know only each other"),
            ("history/load.rs", "fn f(x: crate::checks::Verdict) {}", "know only each other"),
            ("checks/port_window.rs", "use crate::error::Error;", "checks know only"),
            ("checks/port_window.rs", "use super::super::sut::Sut;", "checks know only"),
            ("checks/model.rs", "use tokio::time::sleep;", "`tokio`"),
            ("checks/model.rs", "use std::{fmt, fs};", "`std::fs`"),
            ("checks/model.rs", "use std::net::{IpAddr, TcpStream};", "`std::net::TcpStream`"),
            ("checks/model.rs", "fn f() { std::fs::read(x) }", "`std::fs`"),
            ("observers/ebpf.rs", "use crate::{clock, sut::Process};", "meet only in the runner"),
            ("clients/echo.rs", "use crate::backends::Echo;", "meet only in the runner"),
            ("report/json.rs", "use crate::observers::ebpf::Rung;", "sees verdicts"),
            ("report/json.rs", "use crate::runner::Run;", "sees verdicts"),
            ("case/needs.rs", "use crate::sut::Sut; use crate::clients::echo;", "several roles (clients, sut)"),
        ] {
            let found = found(path, text);
            assert!(found.len() == 1 && found[0].contains(word), "{path}: {found:?}");
        }
    }
}
