//! Telephone numbers: international, North American, with a trunk zero, and bare digits that need a context word.

use super::detect::Accepted;
use super::numbers;

type Accept = fn(&str) -> Option<Accepted>;

/// Patterns with what accepts their matches.
pub(super) const PATTERNS: [(&str, Accept); 5] = [
    (r"\+\(?\d[\d ().\-/]{5,24}", international),
    (r"(?:1[ .\-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .\-])[2-9]\d{2}[ .\-]\d{4}(?: ?(?:x|ext\.?) ?\d{1,5})?", american),
    (r"\(?0\d{1,4}\)?[ ./\-]?\d{2,4}(?:[ ./\-]?\d{2,4}){1,4}", trunk),
    (r"\d{3}[\-.]\d{4}", weak),
    (r"\d{7,12}", weak),
];

/// The most digits that a number may have (E.164).
const MOST_DIGITS: usize = 15;

fn international(text: &str) -> Option<Accepted> {
    let mut end = 0;
    let mut count = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' if count > 4 => break,
            _ if c.is_ascii_digit() => {
                count += 1;
                if count > MOST_DIGITS {
                    break;
                }
                end = at + 1;
            }
            _ => {}
        }
    }
    let value = text.get(..end)?;
    let digits = numbers::normal(value);
    let accepted = Accepted { at: 0..end, normal: format!("+{digits}"), score: 0.75, evidence: super::Evidence::Pattern };
    (8..=MOST_DIGITS).contains(&digits.len()).then_some(accepted)
}

fn american(text: &str) -> Option<Accepted> {
    let number = text.split(['x', 'e']).next()?;
    let digits = numbers::normal(number);
    let national = if digits.len() == 11 { digits.get(1..)? } else { &digits };
    Some(Accepted::whole(text, format!("+1{national}"), 0.65))
}

fn trunk(text: &str) -> Option<Accepted> {
    let digits = numbers::normal(text);
    let balanced = text.contains('(') == text.contains(')');
    let grouped = digits.len() < text.len();
    (balanced && (9..=12).contains(&digits.len())).then(|| Accepted::whole(text, digits, if grouped { 0.5 } else { 0.3 }))
}

fn weak(text: &str) -> Option<Accepted> {
    let digits = numbers::normal(text);
    let varied = digits.bytes().any(|b| Some(b) != digits.bytes().next());
    varied.then(|| Accepted::whole(text, digits, 0.2))
}
