//! Which known name a mistyped one resembles.

/// The known name nearest to `given`; `None` when none resembles it.
pub(crate) fn nearest<'a>(
    given: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let given = given.to_lowercase();
    let distances = known.into_iter().map(|name| (strsim::damerau_levenshtein(&given, name), name));
    let (distance, name) = distances.min()?;
    (distance <= name.len().div_ceil(2)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_is_recognised_and_nonsense_is_not() {
        let known = ["workers", "engine", "collect-every"];
        assert_eq!(nearest("worker", known), Some("workers"));
        assert_eq!(nearest("Collect_Every", known), Some("collect-every"));
        assert_eq!(nearest("xyzzyxyzzyxyzzy", known), None);
        assert_eq!(nearest("x", []), None);
    }
}
