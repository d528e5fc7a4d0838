//! Numbers in groups: payment cards and bank accounts, whose ends only their length and checksum show.

use regex::Regex;

use super::{Entity, Evidence, Span, Value, checksum, detect::stands_alone};

/// The digits of a text as values.
pub(super) fn digits(text: &str) -> Vec<u8> {
    text.bytes().filter(u8::is_ascii_digit).map(|b| b - b'0').collect()
}

/// The digits of a text as text.
pub(super) fn normal(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Digits in a row with at most one separator between two.
type Run = Vec<(usize, u8)>;

/// Returns the payment cards of a text.
pub(super) fn cards(text: &str) -> Vec<Span> {
    runs(text).into_iter().flat_map(|run| cards_of(text, &run)).collect()
}

fn cards_of(text: &str, run: &Run) -> Vec<Span> {
    let mut found = Vec::new();
    let mut first = 0;
    while first + 13 <= run.len() {
        let card = starts_group(run, first).then(|| longest_card(text, run, first)).flatten();
        first += card.as_ref().map_or(1, |card| card.normal.len());
        found.extend(card);
    }
    found
}

fn longest_card(text: &str, run: &Run, first: usize) -> Option<Span> {
    (13..=19.min(run.len() - first)).rev().find_map(|length| {
        let part = run.get(first..first + length)?;
        let ends_group = run.get(first + length).is_none_or(|(next, _)| *next > part[length - 1].0 + 1);
        let values: Vec<u8> = part.iter().map(|(_, digit)| *digit).collect();
        let (start, end) = (part[0].0, part[length - 1].0 + 1);
        if !ends_group || !one_separator(&text[start..end]) || !checksum::credit_card(&values) {
            return None;
        }
        let span = checked(Entity::CreditCard, start..end, normal(&text[start..end]));
        stands_alone(text, &span).then_some(span)
    })
}

/// People who write a number in groups keep to one separator.
fn one_separator(number: &str) -> bool {
    let mut separators = number.bytes().filter(|byte| !byte.is_ascii_digit());
    let first = separators.next();
    separators.all(|byte| Some(byte) == first)
}

fn starts_group(run: &Run, at: usize) -> bool {
    at == 0 || run[at].0 > run[at - 1].0 + 1
}

fn runs(text: &str) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (at, byte) in text.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_digit()) {
        let digit = (at, byte - b'0');
        let joins = |last: usize| at - last == 1 || (at - last == 2 && matches!(text.as_bytes()[at - 1], b' ' | b'-' | b'.'));
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|(last, _)| joins(*last)) => run.push(digit),
            _ => runs.push(vec![digit]),
        }
    }
    runs
}

/// Returns the bank account numbers of a text. `head` matches a country code and two check digits.
pub(super) fn ibans(text: &str, head: &Regex) -> Vec<Span> {
    head.find_iter(text).filter_map(|found| iban_at(text, found.start())).collect()
}

fn iban_at(text: &str, start: usize) -> Option<Span> {
    let length = checksum::iban_length(text.get(start..start + 2)?)?;
    let mut compact = String::with_capacity(length);
    let mut end = start;
    let mut gap = 0;
    for (at, byte) in text.bytes().enumerate().skip(start) {
        match byte {
            b if b.is_ascii_alphanumeric() => {
                compact.push(char::from(b.to_ascii_uppercase()));
                (end, gap) = (at + 1, 0);
            }
            b' ' | b'-' if gap == 0 => gap = 1,
            _ => break,
        }
        if compact.len() == length {
            break;
        }
    }
    let span = checked(Entity::IbanCode, start..end, compact);
    (checksum::iban(&span.normal) && stands_alone(text, &span)).then_some(span)
}

fn checked(entity: Entity, at: std::ops::Range<usize>, normal: String) -> Span {
    Span { start: at.start, end: at.end, entity, score: 1.0, evidence: Evidence::Checksum, value: Value::Real, normal }
}
