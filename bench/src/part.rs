//! The part of `BENCHMARKS.md` that is measured in a VM: each of two commands writes its own part and keeps the other's.

/// Where the part begins and ends.
const BEGIN: &str = "<!-- cargo xtask bench --vm: begin -->\n";
const END: &str = "<!-- cargo xtask bench --vm: end -->\n";

/// The part in `whole`, with its marks.
pub(crate) fn of(whole: &str) -> Option<&str> {
    let begin = whole.find(BEGIN)?;
    let end = whole[begin..].find(END)? + begin + END.len();
    Some(&whole[begin..end])
}

/// `content` as a part, with its marks.
pub(crate) fn marked(content: &str) -> String {
    format!("{BEGIN}\n{}\n\n{END}", content.trim())
}

/// `whole` with this part instead of its own; at its end when it had none.
pub(crate) fn put(whole: &str, part: &str) -> String {
    match of(whole) {
        Some(old) => whole.replace(old, part),
        None => format!("{}\n\n{part}", whole.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_put_in_kept_and_replaced() {
        let whole = "# Benchmarks\n\n## Goals\n";
        assert_eq!(of(whole), None);
        let first = put(whole, &marked("## In a VM\n\none"));
        assert!(first.starts_with("# Benchmarks\n\n## Goals\n\n<!--") && first.contains("one"), "{first}");
        let second = put(&first, &marked("two\n"));
        assert!(second.contains("## Goals") && second.contains("\n\ntwo\n\n") && !second.contains("one"), "{second}");
        assert_eq!(of(&second), Some(marked("two").as_str()));
        assert_eq!(put("# New\n", of(&second).unwrap_or_default()), format!("# New\n\n{}", marked("two")));
    }
}
