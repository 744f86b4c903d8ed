//! Our name, another one each time the program starts.

use std::iter::repeat_with;

/// `mx` digit `.` 5 to 19 alphanumerics `.` and one of four top-level domains.
pub(crate) fn random() -> String {
    let length = fastrand::usize(5..=19);
    let name: String = repeat_with(|| fastrand::alphanumeric().to_ascii_lowercase()).take(length).collect();
    let top = ["com", "org", "net", "cz"][fastrand::usize(..4)];
    format!("mx{}.{name}.{top}", fastrand::u8(..10))
}

#[cfg(test)]
mod tests {
    use super::random;

    #[test]
    fn names_have_the_form_and_differ() {
        let names: Vec<String> = (0..50).map(|_| random()).collect();
        for name in &names {
            let [mx, middle, top] = name.split('.').collect::<Vec<_>>()[..] else { panic!("{name}") };
            assert!(mx.len() == 3 && mx.starts_with("mx") && mx.ends_with(|end: char| end.is_ascii_digit()), "{name}");
            assert!(
                (5..=19).contains(&middle.len()) && middle.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "{name}"
            );
            assert!(["com", "org", "net", "cz"].contains(&top), "{name}");
        }
        assert!(names.iter().any(|name| *name != names[0]));
    }
}
