//! Rules for web pages: Gopher (Rae et al. 2021), C4 (Raffel et al. 2020), and `FineWeb` (Penedo et al. 2024).
//!
//! They are made for pages of running text and throw most instruction data away, so that the profile `sft` has none of them.

use super::page::{Page, ratio, repeats};

const STOP_WORDS: [&str; 8] = ["the", "be", "to", "of", "and", "that", "have", "with"];
const POLICIES: [&str; 6] = ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"];

/// Why a page fails a family of rules; the first rule it breaks.
pub(super) fn gopher(page: &Page<'_>) -> Option<&'static str> {
    let words = page.words.len();
    let letters: usize = page.words.iter().map(|word| page.text[word.range()].chars().count()).sum();
    let marks = |mark: &str| page.text.matches(mark).count();
    let lines = page.lines().count();
    let of_lines = |holds: fn(&str) -> bool| ratio(page.lines().filter(|line| holds(line)).count(), lines);
    let length = ratio(letters, words);
    if !(50..=100_000).contains(&words) {
        Some("gopher_words")
    } else if !(3.0..=10.0).contains(&length) {
        Some("gopher_word_length")
    } else if ratio(marks("#"), words) > 0.1 || ratio(marks("...") + marks("…"), words) > 0.1 {
        Some("gopher_symbols")
    } else if of_lines(|line| line.starts_with(['•', '-', '*'])) > 0.9 {
        Some("gopher_bullets")
    } else if of_lines(|line| line.ends_with("...") || line.ends_with('…')) > 0.3 {
        Some("gopher_ellipsis_lines")
    } else if ratio(page.words_with_letters(), words) < 0.8 {
        Some("gopher_alpha_words")
    } else if has_stop_words(page) {
        None
    } else {
        Some("gopher_stop_words")
    }
}

fn has_stop_words(page: &Page<'_>) -> bool {
    let is_there = |stop: &&&str| page.words.iter().any(|word| page.text[word.range()].eq_ignore_ascii_case(stop));
    STOP_WORDS.iter().filter(is_there).count() >= 2
}

/// Lines without words, with code, or about cookies do not count; what is left must be five sentences.
pub(super) fn c4(page: &Page<'_>) -> Option<&'static str> {
    let lower = page.text.to_lowercase();
    if lower.contains("lorem ipsum") {
        return Some("c4_lorem_ipsum");
    }
    if page.text.contains('{') {
        return Some("c4_curly_bracket");
    }
    let is_kept = |line: &&str| {
        let words = line.split_whitespace();
        words.clone().count() >= 3
            && words.clone().all(|word| word.len() <= 1_000)
            && !line.contains("javascript")
            && !POLICIES.iter().any(|policy| line.contains(policy))
    };
    let sentences: usize = lower.lines().filter(is_kept).map(sentences).sum();
    (sentences < 5).then_some("c4_sentences")
}

/// Sentences of a line: ends followed by a space or the end, and a last one without an end.
fn sentences(line: &str) -> usize {
    let is_end = |c: char| matches!(c, '.' | '!' | '?' | '。' | '！' | '？');
    let mut count = 0;
    let mut open = false;
    let mut chars = line.trim().chars().peekable();
    while let Some(c) = chars.next() {
        open |= c.is_alphanumeric();
        if open && is_end(c) && chars.peek().is_none_or(|next| next.is_whitespace() || !c.is_ascii()) {
            count += 1;
            open = false;
        }
    }
    count + usize::from(open)
}

/// Lists, menus, and pages that repeat their lines.
pub(super) fn fineweb(page: &Page<'_>) -> Option<&'static str> {
    let lines = page.lines().count();
    let is_ended = |line: &&str| line.ends_with(['.', '!', '?', '"', '\'', '”', '。', '！', '？']);
    let of_lines = |count: usize| ratio(count, lines);
    if of_lines(page.lines().filter(is_ended).count()) < 0.12 {
        Some("fineweb_line_ends")
    } else if of_lines(page.lines().filter(|line| line.chars().count() <= 30).count()) > 0.67 {
        Some("fineweb_short_lines")
    } else if repeats(page.lines(), page.text.len()).1 > 0.01 {
        Some("fineweb_repeated_lines")
    } else if ratio(page.text.matches('\n').count(), page.words.len()) > 0.3 {
        Some("fineweb_newlines")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prose() -> String {
        let sentence = |at: usize| {
            format!(
                "The number {at} bus stops near the old station, and people who wait there have to be patient with it today. "
            )
        };
        (0..6).map(sentence).collect()
    }

    #[test]
    fn running_text_passes_every_family() {
        let text = prose();
        let page = Page::new(&text);
        assert_eq!((gopher(&page), c4(&page), fineweb(&page)), (None, None, None));
    }

    #[test]
    fn every_rule_has_a_page_that_breaks_it() {
        type Rule = fn(&Page<'_>) -> Option<&'static str>;
        let text = prose();
        let cases: [(Rule, String, &str); 13] = [
            (gopher, "too short".to_owned(), "gopher_words"),
            (gopher, "a b c d e f ".repeat(20), "gopher_word_length"),
            (gopher, format!("{text}{}", " #".repeat(60)), "gopher_symbols"),
            (gopher, text.replace(". ", "\n- and the rest of it\n- of that\n-").replace("The", "- The"), "gopher_bullets"),
            (gopher, text.replace("today. ", "today...\n"), "gopher_ellipsis_lines"),
            (gopher, format!("{text}{}", " 12345".repeat(60)), "gopher_alpha_words"),
            (gopher, "lovely flowers growing everywhere around ".repeat(20), "gopher_stop_words"),
            (c4, format!("{text} Lorem ipsum dolor."), "c4_lorem_ipsum"),
            (c4, format!("{text} function() {{"), "c4_curly_bracket"),
            (c4, "One sentence is here. Another is here.\nhome\nwe use cookies on this site.".to_owned(), "c4_sentences"),
            (fineweb, "no end here at all on this long line of text\n".repeat(3), "fineweb_line_ends"),
            (fineweb, "Short one.\n".repeat(9), "fineweb_short_lines"),
            (fineweb, format!("{text}\n{text}"), "fineweb_repeated_lines"),
        ];
        for (rule, text, reason) in cases {
            assert_eq!(rule(&Page::new(&text)), Some(reason), "{text}");
        }
    }

    #[test]
    fn nothing_at_all_is_judged_without_a_division_by_zero() {
        let page = Page::new("");
        assert_eq!((gopher(&page), c4(&page)), (Some("gopher_words"), Some("c4_sentences")));
        assert!(fineweb(&page).is_some());
    }
}
