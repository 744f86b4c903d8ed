//! Lists of cases, in short: neighbours are told by the first and the last of them.

/// `1.1-1.3, 2.4` for 1.1, 1.2, 1.3, 2.4. What is no case number stands for itself.
pub(super) fn ranges<'a>(numbers: impl IntoIterator<Item = &'a str>) -> String {
    let mut runs: Vec<(&str, &str)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if follows(last, number) => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let told = |(first, last): (&str, &str)| if first == last { first.to_owned() } else { format!("{first}-{last}") };
    runs.into_iter().map(told).collect::<Vec<_>>().join(", ")
}

/// Whether `next` is the case after `number`, in the same group.
fn follows(number: &str, next: &str) -> bool {
    let parts = |text: &str| {
        let (group, case) = text.split_once('.')?;
        Some((group.parse::<u32>().ok()?, case.parse::<u32>().ok()?))
    };
    parts(number)
        .and_then(|(group, case)| Some((group, case.checked_add(1)?)))
        .is_some_and(|after| parts(next) == Some(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_told_by_their_ends() {
        assert_eq!(ranges(["1.1", "1.2", "1.3", "1.5", "2.1", "2.2"]), "1.1-1.3, 1.5, 2.1-2.2");
        assert_eq!(ranges(["1.9", "1.10", "1.12"]), "1.9-1.10, 1.12");
        assert_eq!(ranges(["1.2", "1.1", "8080", "8081", "1.4294967295"]), "1.2, 1.1, 8080, 8081, 1.4294967295");
        assert_eq!(ranges([]), "");
    }
}
