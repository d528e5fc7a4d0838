//! "Did you mean": the known word nearest to an unknown one.

/// The candidate within a third of the word's length, by edits that also count swapped letters; ties go to the first.
pub(crate) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let allowed = (word.chars().count() / 3).max(1);
    let lower = word.to_lowercase();
    let distance = |candidate: &'c str| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate);
    let near = candidates.into_iter().map(distance).filter(|(edits, _)| *edits <= allowed);
    near.min_by_key(|(edits, _)| *edits).map(|(_, candidate)| candidate)
}

/// A help text: the nearest word if there is one, and all known words if they are few.
pub(crate) fn help<'c>(word: &str, what: &str, known: impl IntoIterator<Item = &'c str>) -> String {
    const SHOWN: usize = 12;
    let known: Vec<&str> = known.into_iter().collect();
    let list = match known.as_slice() {
        [] => format!("there are no {what} here"),
        few if few.len() <= SHOWN => format!("known {what}: {}", few.join(", ")),
        many => format!("known {what}: {}, and {} more", many[..SHOWN].join(", "), many.len() - SHOWN),
    };
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? {list}"),
        None => list,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_another_word_is_not() {
        let known = ["rows", "report", "validation"];
        assert_eq!(nearest("row", known), Some("rows"));
        assert_eq!(nearest("reprot", known), Some("report"));
        assert_eq!(nearest("Validaton", known), Some("validation"));
        assert_eq!(nearest("model", known), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn help_lists_what_is_known() {
        assert_eq!(help("row", "ports", ["rows", "report"]), "did you mean `rows`? known ports: rows, report");
        assert_eq!(help("zzz", "ports", []), "there are no ports here");
    }
}
