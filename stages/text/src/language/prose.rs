//! What of a text tells its language: no code, links, addresses, or numbers.

/// Bytes that are looked at, at most; more do not make a guess surer.
const ENOUGH: usize = 512;

/// Returns the first stretch of prose, words with one space between them.
pub(super) fn prose(text: &str) -> String {
    let mut out = String::with_capacity(ENOUGH + 64);
    let mut fence: Option<&str> = None;
    for line in text.lines() {
        let mark = ["```", "~~~"].into_iter().find(|mark| line.trim_start().starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (Some(_), _) => {}
            (None, None) => line.split_whitespace().filter(|word| is_prose(word)).for_each(|word| {
                out.push_str(word);
                out.push(' ');
            }),
        }
        if out.len() >= ENOUGH {
            break;
        }
    }
    out.truncate(out.floor_char_boundary(ENOUGH));
    out
}

fn is_prose(word: &str) -> bool {
    let is_link = word.contains("://") || word.starts_with("www.") || word.contains('@');
    let is_code = word.contains("::") || word.contains("()") || word.contains('_') || word.starts_with('`');
    !is_link && !is_code && word.chars().any(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_links_and_numbers_are_left_out() {
        let text = "See https://example.com/a for 12 items.\n```rust\nlet x = der_die_das();\n```\nMail me@example.com now.";
        assert_eq!(prose(text), "See for items. Mail now. ");
    }

    #[test]
    fn a_fence_that_never_ends_hides_the_rest_and_long_texts_are_cut_on_a_boundary() {
        assert_eq!(prose("yes\n~~~\nno\n```\nno"), "yes ");
        let long = prose(&"é".repeat(2_000));
        assert_eq!(long.len(), ENOUGH);
    }
}
