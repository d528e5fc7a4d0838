//! The ways in which programs write a value: plain, escaped, percent-encoded, and in base64 at any place of a longer text.

use std::{collections::BTreeSet, ops::Range};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

use crate::StageError;

/// Shorter lines of a secret would hide ordinary words.
const SHORTEST: usize = 4;
/// Shorter encoded texts appear by chance.
const SHORTEST_ENCODED: usize = 6;
const UNLIKELY: usize = 8;
/// Encoders break long texts into lines of this many letters.
const LINE: usize = 76;

/// What the shortest form may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shortest {
    /// Whatever is no ordinary word: right for a log, where a mark too many does no harm.
    Word,
    /// Long enough not to stand in data by chance.
    Unlikely,
}

/// Every form of some secrets, ready to be found.
#[derive(Clone, Debug)]
pub(super) struct Forms {
    finder: AhoCorasick,
}

impl Forms {
    /// Every form of each line of the secrets; none when there is nothing to find.
    pub(super) fn of<'a>(secrets: impl IntoIterator<Item = &'a str>, shortest: Shortest) -> Result<Option<Self>, StageError> {
        let mut forms = all(secrets);
        if shortest == Shortest::Unlikely {
            forms.retain(|form| form.len() >= UNLIKELY);
        }
        if forms.is_empty() {
            return Ok(None);
        }
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(forms);
        let finder =
            finder.map_err(|error| StageError::input("a secret is too long to be kept out of the log").because(&error))?;
        Ok(Some(Self { finder }))
    }

    /// The length of the longest form; at least one.
    pub(super) fn longest(&self) -> usize {
        self.finder.max_pattern_len().max(1)
    }

    /// Where forms stand in a text, from its start; the longest where several begin.
    pub(super) fn find<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = Range<usize>> + 'a {
        self.finder.find_iter(text).map(|found| found.range())
    }
}

fn all<'a>(secrets: impl IntoIterator<Item = &'a str>) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::new();
    for secret in secrets {
        let whole = secret.trim();
        for value in whole.lines().map(str::trim).chain([whole]).filter(|value| value.len() >= SHORTEST) {
            forms.insert(value.as_bytes().to_vec());
            forms.extend(escaped(value));
            forms.extend([percent(value, "%20", Hex::Upper), percent(value, "%20", Hex::Lower), percent(value, "+", Hex::Upper)]);
            forms.extend(encoded(value.as_bytes()));
        }
    }
    forms
}

/// As a text of JSON, without the quotes.
fn escaped(value: &str) -> Option<Vec<u8>> {
    let quoted = serde_json::to_string(value).ok()?;
    quoted.strip_prefix('"')?.strip_suffix('"').map(|inner| inner.as_bytes().to_vec())
}

#[derive(Clone, Copy)]
enum Hex {
    Upper,
    Lower,
}

impl Hex {
    /// A byte as `%` and two digits.
    fn digits(self, byte: u8) -> [char; 3] {
        let digit = |value: u8| {
            let digit = char::from_digit(u32::from(value), 16).unwrap_or('0');
            match self {
                Self::Upper => digit.to_ascii_uppercase(),
                Self::Lower => digit,
            }
        };
        ['%', digit(byte >> 4), digit(byte & 15)]
    }
}

/// As part of a URL or of a form.
fn percent(value: &str, space: &str, hex: Hex) -> Vec<u8> {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match (byte, hex) {
            (b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~', _) => out.push(char::from(byte)),
            (b' ', _) => out.push_str(space),
            (_, hex) => out.extend(hex.digits(byte)),
        }
    }
    out.into_bytes()
}

/// In base64: the letters that the value alone decides, wherever it begins in a longer text.
fn encoded(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for before in 0..3 {
        let longer = [&[0; 2][..before.min(2)], value].concat();
        let (first, end) = ((8 * before).div_ceil(6), 8 * longer.len() / 6);
        for text in [STANDARD_NO_PAD.encode(&longer), URL_SAFE_NO_PAD.encode(&longer)] {
            forms.extend(text.as_bytes().get(first..end).map(<[u8]>::to_vec));
            if before == 0 && end > LINE {
                forms.extend(text.as_bytes().chunks(LINE).map(<[u8]>::to_vec));
            }
        }
    }
    forms.retain(|form| form.len() >= SHORTEST_ENCODED);
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hides(secret: &str, text: &str) -> bool {
        Forms::of([secret], Shortest::Word).unwrap().is_some_and(|forms| forms.find(text.as_bytes()).next().is_some())
    }

    #[test]
    fn a_value_is_known_in_base64_wherever_it_stands() {
        for user in ["", "a", "ab", "abc", "abcd"] {
            let header = STANDARD_NO_PAD.encode(format!("{user}hunter2-hunter2:x"));
            assert!(hides("hunter2-hunter2", &header), "{user}: {header}");
        }
        assert!(hides("??>>hunter2", &URL_SAFE_NO_PAD.encode("??>>hunter2")));
        let long = "k".repeat(100);
        let wrapped = STANDARD_NO_PAD.encode(&long);
        let (first, rest) = wrapped.split_at(76);
        assert!(hides(&long, first) && hides(&long, rest));
    }

    #[test]
    fn a_value_is_known_in_a_url_a_form_and_json() {
        assert!(hides("p@ss/w rd", "https://x/?q=p%40ss%2Fw%20rd"));
        assert!(hides("p@ss/w rd", "q=p%40ss%2fw%20rd"));
        assert!(hides("p@ss w?rd", "q=p%40ss+w%3Frd"));
        assert!(hides("say \"friend\"", r#"{"a":"say \"friend\""}"#));
    }

    #[test]
    fn short_lines_and_common_letters_are_not_taken_for_secrets() {
        assert!(all(["abc", "", " \n"]).is_empty());
        assert!(all(["abcd"]).iter().all(|form| form.len() >= 4));
        assert!(Forms::of(["abcd"], Shortest::Unlikely).unwrap().is_none());
    }
}
