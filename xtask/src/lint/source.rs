//! Rust files and the paths that they name: a scanner, not a parser, which is enough for import rules.

use std::fs;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use anyhow::Context;

/// A file of the workspace.
#[derive(Debug)]
pub(super) struct Source {
    /// Relative to the root of the workspace.
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// A path that the code names, such as `crate::clock::Timestamp`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) segments: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    line: usize,
    text: String,
}

/// Every Rust file below `root`, in order, without hidden and target folders.
pub(super) fn rust_files(root: &Path) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry.with_context(|| folder.display().to_string())?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                sources.push(Source { path: path.strip_prefix(root).unwrap_or(&path).to_owned(), text });
            }
        }
    }
    sources.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(sources)
}

impl Source {
    #[cfg(test)]
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.to_owned() }
    }

    /// Every path of two segments and more that the code names, with `use` trees spelled out, and every single `use`;
    /// comments, strings and `#[cfg(test)]` modules are left out.
    pub(super) fn paths(&self) -> Vec<Named> {
        let mut tokens = without_tests(tokens(&self.text)).into_iter().peekable();
        let mut paths = Vec::new();
        while let Some(token) = tokens.next() {
            if token.text == "use" {
                use_tree(&mut tokens, &[], &mut paths);
            } else if is_word(&token.text) {
                let line = token.line;
                let mut segments = vec![token.text];
                while tokens.next_if(|next| next.text == "::").is_some() {
                    match tokens.next_if(|next| is_word(&next.text)) {
                        Some(word) => segments.push(word.text),
                        None => break,
                    }
                }
                if segments.len() > 1 {
                    paths.push(Named { line, segments });
                }
            }
        }
        paths
    }
}

/// One branch of a `use` tree, and those below it, each with what came before it.
fn use_tree(tokens: &mut Peekable<IntoIter<Token>>, before: &[String], paths: &mut Vec<Named>) {
    let mut segments = before.to_vec();
    while let Some(token) = tokens.next() {
        match token.text.as_str() {
            "{" => {
                while tokens.peek().is_some_and(|next| next.text != "}") {
                    use_tree(tokens, &segments, paths);
                    tokens.next_if(|next| next.text == ",");
                }
                tokens.next();
                return;
            }
            "as" => {
                tokens.next();
                continue;
            }
            "::" => continue,
            _ => segments.push(token.text),
        }
        if tokens.peek().is_none_or(|next| next.text != "::") {
            paths.push(Named { line: token.line, segments: segments.clone() });
            if tokens.next_if(|next| next.text == "as").is_some() {
                tokens.next();
            }
            return;
        }
    }
}

/// Drops each `#[cfg(test)] mod name { ... }`.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let is_test = |at: usize| {
        let here = tokens[at..].iter().map(|token| token.text.as_str());
        here.take(8).eq(["#", "[", "cfg", "(", "test", ")", "]", "mod"])
    };
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if !is_test(at) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let mut depth = 0_usize;
        for token in &tokens[at..] {
            at += 1;
            match token.text.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(token.text.as_str(), "}" | ";") {
                break;
            }
        }
    }
    kept
}

/// Words, `::` and single characters of the code, without comments and without what stands in quotes.
fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let rest = &text[at..];
        let length = quoted(rest).unwrap_or_else(|| match bytes[at] {
            byte if byte == b'_' || byte.is_ascii_alphanumeric() => {
                rest.bytes().take_while(|byte| *byte == b'_' || byte.is_ascii_alphanumeric()).count()
            }
            b':' if rest.starts_with("::") => 2,
            _ => rest.chars().next().map_or(1, char::len_utf8),
        });
        if quoted(rest).is_none() && !bytes[at].is_ascii_whitespace() {
            tokens.push(Token { line, text: rest[..length].to_owned() });
        }
        line += rest[..length].matches('\n').count();
        at += length;
    }
    tokens
}

/// Length of the comment, string or character that `text` starts with, in bytes.
fn quoted(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(text.find("*/").map_or(text.len(), |end| end + 2));
    }
    let raw = text.strip_prefix('b').unwrap_or(text);
    if let Some(hashes) = raw.strip_prefix('r').map(|rest| rest.len() - rest.trim_start_matches('#').len())
        && raw[1 + hashes..].starts_with('"')
    {
        let start = text.len() - raw.len() + 2 + hashes;
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()));
    }
    let mut characters = text.char_indices();
    match characters.next()?.1 {
        '"' => {}
        // A character such as '"'; what else starts with a quote is a lifetime.
        '\'' if text[1..].starts_with('\\') || text[1..].chars().nth(1) == Some('\'') => {}
        _ => return None,
    }
    let quote = text.as_bytes()[0] as char;
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            _ if character == quote => return Some(at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first == '_' || first.is_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        let named = Source::new("x.rs", text).paths();
        named.iter().map(|named| format!("{} {}", named.line, named.segments.join("::"))).collect()
    }

    #[test]
    fn use_trees_are_spelled_out() {
        let text = "use crate::{\n    clock::Timestamp,\n    sut::{self, profile::Profile as P},\n    checks::*,\n};\nuse tokio;\n";
        let expected = [
            "2 crate::clock::Timestamp",
            "3 crate::sut::self",
            "3 crate::sut::profile::Profile",
            "4 crate::checks::*",
            "6 tokio",
        ];
        assert_eq!(paths(text), expected);
    }

    #[test]
    fn paths_inside_code_are_seen() {
        assert_eq!(
            paths("fn f() -> super::a::B { crate::sut::start::<u8>() }"),
            ["1 super::a::B", "1 crate::sut::start"]
        );
    }

    #[test]
    fn comments_strings_and_tests_are_not_code() {
        let text = "// crate::a::b\n/* crate::c::d */\nconst S: &str = \"crate::e::f \\\" crate::g::h\";\n\
                    const R: &str = r#\"crate::i \" ::j\"#;\nconst C: char = '\"';\n\
                    #[cfg(test)]\nmod tests { use crate::k::L; fn f() {} }\nfn f<'a>(x: &'a crate::m::N) {}";
        assert_eq!(paths(text), ["8 crate::m::N"]);
    }
}
