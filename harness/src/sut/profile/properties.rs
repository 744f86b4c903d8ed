//! Whatever stands in a profile: it is used, or refused with file, line and key, and never a panic.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use proptest::prelude::*;

use super::{Profile, ProfileError};
use crate::properties::{config, text};
use crate::sut::template::Template;

const SHIPPED: [&str; 2] = [
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/tunnel/profiles/real.toml")),
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/tunnel/profiles/reference.toml")),
];

/// Reads it, and checks what an error says; a profile that is good can be used.
fn read(text: &str) -> Result<(), TestCaseError> {
    match Profile::parse(Path::new("some/p.toml"), text) {
        Ok(mut profile) => {
            profile.quicken();
            for process in &profile.processes {
                let template = Template::new(&profile, Path::new("/run/p"));
                for command in process.command.iter().chain(process.env.values()) {
                    prop_assert!(template.fill(command).is_ok());
                }
            }
            prop_assert!(profile.listens().is_ok() && profile.check_collisions(&[]).is_ok());
        }
        Err(error) => {
            let said = error.to_string();
            prop_assert!(said.contains("some/p.toml"), "{}", said);
            match error {
                ProfileError::Flawed { line, .. } => prop_assert!((1..=text.split('\n').count()).contains(&line)),
                // A key that is missing altogether stands on no line.
                _ => prop_assert!(said.contains("line ") || said.contains("missing field"), "{}", said),
            }
        }
    }
    Ok(())
}

/// A shipped profile in which some parts of lines were replaced, dropped or doubled.
fn mutated() -> impl Strategy<Value = String> {
    let with = prop_oneof![
        prop::sample::select(vec![
            "",
            "[",
            "[[",
            "\"",
            "\"\"\"",
            "= ",
            "0",
            "-1",
            "1e999",
            "99999999999999999999",
            "true",
            "[]",
            "{}",
            "${",
            "${dir}",
            "${setting.fault}",
            "${endpoint.nowhere}",
            "${}",
            "$$",
            "0.0.0.0:38001",
            "127.0.0.1:0",
            "[process]",
            "[[process]]\n",
            "[settings]",
            "name = \"server\"",
            "\n",
            "..",
            "/",
        ])
        .prop_map(String::from),
        text(),
    ];
    let edit = (any::<prop::sample::Index>(), 0usize..12, with);
    (0usize..2, prop::collection::vec(edit, 1..4)).prop_map(|(which, edits)| {
        let mut text = SHIPPED[which].to_owned();
        for (at, length, with) in edits {
            let boundary = |mut at: usize| {
                while !text.is_char_boundary(at) {
                    at -= 1;
                }
                at
            };
            let start = boundary(at.index(text.len() + 1));
            let end = boundary((start + length).min(text.len()));
            text.replace_range(start..end, &with);
        }
        text
    })
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn any_text_is_refused_by_name(text in text()) {
        read(&text)?;
        read(&format!("name = 'n'\nsuite = 's'\n{text}\n[[process]]\nname = 'p'\ncommand = ['true']\n"))?;
    }

    #[test]
    fn a_mutated_profile_is_used_or_refused_by_name(text in mutated()) {
        read(&text)?;
    }

    #[test]
    fn any_override_is_taken_or_refused_by_name(text in text(), value in text()) {
        let mut profile = Profile::parse(Path::new("p"), SHIPPED[1]).unwrap();
        for set in [text.clone(), format!("endpoint.websocket={value}"), format!("{text}={value}")] {
            match profile.set(&set) {
                Ok(()) => prop_assert!(set.contains('=')),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
        profile.set(&format!("fault={value}")).unwrap();
        prop_assert_eq!(profile.setting("fault").unwrap().to_string().is_empty(), value.is_empty());
    }

    #[test]
    fn any_template_is_filled_in_or_refused_by_name(text in text(), name in "[a-z.]{0,12}") {
        let profile = Profile::parse(Path::new("p"), SHIPPED[1]).unwrap();
        let template = Template::new(&profile, Path::new("/run/p"));
        match template.fill(&text) {
            Ok(filled) => prop_assert!(text.contains('$') || filled == text),
            Err(error) => prop_assert!(error.to_string().contains("reference-tunnel"), "{}", error),
        }
        prop_assert_eq!(template.fill(&text.replace('$', "$$")).unwrap(), text);
        if let Err(error) = template.fill(&format!("a ${{{name}}} b")) {
            prop_assert!(error.to_string().contains(name.split('.').nth(1).unwrap_or(&name)), "{}", error);
        }
    }
}
