//! "Did you mean": the known word nearest to an unknown one.

/// Words of other tools, and older ones, for what a workflow calls otherwise. They help only where the second word is known.
const OTHER_WORDS: [(&str, &str); 50] = [
    ("after", "needs"),
    ("args", "run"),
    ("arguments", "run"),
    ("assert", "expect"),
    ("attempts", "retry"),
    ("backoff_limit", "retry"),
    ("cmd", "run"),
    ("command", "run"),
    ("condition", "if"),
    ("config", "with"),
    ("delay", "backoff"),
    ("dependencies", "needs"),
    ("depends", "needs"),
    ("depends_on", "needs"),
    ("deps", "needs"),
    ("desc", "description"),
    ("each", "foreach"),
    ("environment", "env"),
    ("exec", "run"),
    ("files", "code"),
    ("for", "foreach"),
    ("for_each", "foreach"),
    ("from", "in"),
    ("image", "uses"),
    ("input", "in"),
    ("inputs", "in"),
    ("jobs", "stages"),
    ("kind", "uses"),
    ("matrix", "foreach"),
    ("max_retries", "retry"),
    ("notifications", "hooks"),
    ("notify", "hooks"),
    ("on", "hooks"),
    ("options", "with"),
    ("output", "out"),
    ("outputs", "out"),
    ("outs", "out"),
    ("parameters", "with"),
    ("params", "with"),
    ("requires", "needs"),
    ("script", "run"),
    ("stage", "uses"),
    ("steps", "stages"),
    ("strategy", "foreach"),
    ("tasks", "stages"),
    ("title", "name"),
    ("type", "uses"),
    ("vars", "params"),
    ("version", "flow"),
    ("when", "if"),
];

/// The candidate that was meant: the same but for capitals, hyphens, or number, one within a third of the word's length by
/// edits that also count swapped letters (ties go to the first), or one that other tools call so.
pub(crate) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let plain = plain(word);
    let letters = plain.chars().count();
    // At least one letter must be the same.
    let allowed = (letters / 3).max(1).min(letters.saturating_sub(1));
    let others = OTHER_WORDS.iter().filter(|(other, _)| *other == plain).map(|(_, known)| *known);
    let other = others.chain((plain == "parameters").then_some("params")).collect::<Vec<_>>();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let edits = if stem(&plain) == stem(&self::plain(candidate)) {
            0
        } else if candidate.chars().count().abs_diff(letters) <= allowed {
            strsim::damerau_levenshtein(&plain, &self::plain(candidate))
        } else {
            usize::MAX
        };
        let edits = if edits > allowed && other.contains(&candidate) { allowed } else { edits };
        if edits <= allowed && best.is_none_or(|(least, _)| edits < least) {
            best = Some((edits, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn plain(word: &str) -> String {
    word.to_lowercase().replace('-', "_")
}

/// A word without the ending of its plural.
fn stem(word: &str) -> String {
    if let Some(stem) = word.strip_suffix("ies").filter(|stem| !stem.is_empty()) {
        return format!("{stem}y");
    }
    word.strip_suffix('s').filter(|stem| stem.len() > 2).unwrap_or(word).to_owned()
}

/// A help text: the nearest word if there is one, and all known words if they are few.
pub(crate) fn help<'c>(word: &str, what: &str, known: impl IntoIterator<Item = &'c str>) -> String {
    const SHOWN: usize = 12;
    let known: Vec<&str> = known.into_iter().collect();
    let list = match known.as_slice() {
        [] => format!("there are no {what} here"),
        few if few.len() <= SHOWN => format!("known {what}: {}", few.join(", ")),
        many => {
            let shown: Vec<&str> = many.iter().take(SHOWN).copied().collect();
            format!("known {what}: {}, and {} more", shown.join(", "), many.len() - SHOWN)
        }
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
    fn plurals_hyphens_and_words_of_other_tools_are_recognised() {
        let stage = ["uses", "foreach", "in", "with", "needs", "if", "retry", "run", "env", "timeout"];
        for (word, meant) in [
            ("retries", "retry"),
            ("Retry", "retry"),
            ("timeouts", "timeout"),
            ("envs", "env"),
            ("time-out", "timeout"),
            ("depends_on", "needs"),
            ("inputs", "in"),
            ("params", "with"),
            ("matrix", "foreach"),
            ("when", "if"),
            ("command", "run"),
            ("kind", "uses"),
        ] {
            assert_eq!(nearest(word, stage), Some(meant), "{word}");
        }
        assert_eq!(nearest("params", ["params", "with"]), Some("params"));
        assert_eq!(nearest("parameters", ["params", "stages"]), Some("params"));
        assert_eq!(nearest("on", ["hooks", "name"]), Some("hooks"));
        assert_eq!(nearest("matrix", ["rows"]), None);
    }

    #[test]
    fn help_lists_what_is_known() {
        assert_eq!(help("row", "ports", ["rows", "report"]), "did you mean `rows`? known ports: rows, report");
        assert_eq!(help("zzz", "ports", []), "there are no ports here");
    }
}
