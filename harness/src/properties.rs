//! How properties are tested: how many cases, from which seed, and texts that nobody expects.
//!
//! Without further ado each property is tried on a fixed number of cases from a fixed seed, so that CI says the same of the
//! same code. `PROPTEST_CASES=100000 cargo test -p portwitness --lib properties` tries as many from a seed of the moment;
//! `PROPTEST_RNG_SEED` names one. A failure prints the smallest case that fails; it is then committed as a test of its own,
//! so no regression files are kept.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// So many cases, or as many as `PROPTEST_CASES` says.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    let asked = ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 50_000,
        max_shrink_time: 20_000,
        ..ProptestConfig::default()
    };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => asked,
        None => ProptestConfig { cases, rng_seed: RngSeed::Fixed(0x7077), ..asked },
    }
}

/// Any text, often one that a terminal, XML or a table could stumble over.
pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z0-9/. -]{0,20}",
        2 => any::<String>(),
        2 => prop::collection::vec(nasty(), 0..6).prop_map(|parts| parts.concat()),
        1 => ("[ -~]", 300usize..3000).prop_map(|(part, times)| part.repeat(times)),
    ]
}

fn nasty() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "\u{1b}[31m",
        "\u{1b}]0;title\u{7}",
        "\u{9b}2J",
        "\r",
        "\n",
        "\t",
        "\0",
        "\u{7f}",
        "\u{8}",
        "]]>",
        "<a href=\"x\">",
        "&amp;",
        "&#0;",
        "'",
        "\"",
        "\\",
        "\u{fffe}",
        "\u{ffff}",
        "\u{feff}",
        "\u{200b}",
        "\u{202e}",
        "\u{2066}",
        "\u{2028}",
        "👩‍👩‍👧",
        "é",
        "e\u{301}",
        "漢字",
        "{}",
        "${dir}",
        "%s",
        "word ",
    ])
    .prop_map(String::from)
}
