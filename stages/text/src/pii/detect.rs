//! Where candidates are looked for: around `@`, `://`, `:`, and digits. Text without them costs one pass each and no more.

use std::{collections::BTreeSet, ops::Range};

use regex::Regex;

use super::{
    Entity, Evidence, Span, Value, context, crypto, network,
    numbers::{self, Cluster, Numbers},
    phone,
};

/// Digits that a cluster needs to hold a number of somebody.
const LEAST_DIGITS: usize = 4;

/// What is wanted, compiled.
pub(super) struct Detectors {
    wanted: BTreeSet<Entity>,
    numbers: Numbers,
    date: Option<Regex>,
}

impl Detectors {
    pub(super) fn new(wanted: &BTreeSet<Entity>) -> Self {
        let dates = wanted.contains(&Entity::DateOfBirth) || wanted.contains(&Entity::DateTime);
        let compile = || Regex::new(DATE).expect("the pattern is a constant that the tests compile");
        Self { wanted: wanted.clone(), numbers: Numbers::new(wanted), date: dates.then(compile) }
    }

    /// Returns all candidates of the wanted kinds; they may overlap.
    pub(super) fn find(&self, text: &str) -> Vec<Span> {
        let mut found = Vec::new();
        let wants = |entity| self.wanted.contains(&entity);
        if wants(Entity::EmailAddress) {
            memchr::memchr_iter(b'@', text.as_bytes()).for_each(|at| found.extend(network::email(text, at)));
        }
        if wants(Entity::Url) {
            found.extend(network::urls(text));
        }
        if wants(Entity::IpAddress) || wants(Entity::MacAddress) {
            found.extend(network::addresses(text).filter(|span| wants(span.entity)));
        }
        numbers::clusters(text, LEAST_DIGITS, |cluster| self.cluster(text, cluster, &mut found));
        if wants(Entity::PhoneNumber) {
            phone::find(text, &mut found);
        }
        if let Some(date) = &self.date {
            found.extend(date.find_iter(text).flat_map(|day| self.day(text, day.range())));
        }
        found
    }

    fn cluster(&self, text: &str, cluster: &Cluster, found: &mut Vec<Span>) {
        self.numbers.find(text, cluster, found);
        if self.wanted.contains(&Entity::Crypto) {
            found.extend(cluster.pieces.iter().filter_map(|piece| wallet(text, piece.start..piece.end)));
        }
        if self.wanted.contains(&Entity::IpAddress) {
            let dotted = cluster.pieces.windows(4).filter_map(|four| network::ipv4(text, four.first()?.start..four.last()?.end));
            found.extend(dotted.filter(|span| !is_version(text, span)));
        }
    }

    fn day(&self, text: &str, at: Range<usize>) -> impl Iterator<Item = Span> {
        let value = text.get(at.clone()).unwrap_or_default().to_lowercase();
        let kinds = [(Entity::DateOfBirth, 0.2), (Entity::DateTime, 0.6)].into_iter();
        let spans = kinds.filter(|(entity, _)| self.wanted.contains(entity));
        let spans: Vec<Span> = spans.map(|(entity, score)| shaped(entity, at.clone(), value.clone(), score)).collect();
        spans.into_iter().filter(move |span| stands_alone(text, span))
    }
}

/// A span that rests on its shape.
pub(super) fn shaped(entity: Entity, at: Range<usize>, normal: String, score: f64) -> Span {
    Span { start: at.start, end: at.end, entity, score, evidence: Evidence::Pattern, value: Value::Real, normal }
}

/// Whether nothing around a span shows that it is a piece of something longer.
pub(super) fn stands_alone(text: &str, span: &Span) -> bool {
    let mut before = text[..span.start].chars().rev();
    let mut after = text[span.end..].chars();
    let (left, left2) = (before.next(), before.next());
    let (right, right2) = (after.next(), after.next());
    if is_word(left) || is_word(right) {
        return false;
    }
    match span.entity {
        Entity::EmailAddress | Entity::Url => true,
        Entity::IpAddress | Entity::MacAddress => {
            let joint = |c: Option<char>| matches!(c, Some(':' | '.' | '-'));
            // A port may follow an IPv4 address.
            let is_port = right == Some(':') && text[span.start..span.end].contains('.');
            let goes_on = (joint(left) && is_word(left2)) || (joint(right) && is_word(right2) && !is_port);
            !goes_on
        }
        Entity::CreditCard | Entity::IbanCode | Entity::Crypto => {
            let joined =
                matches!(left, Some('-' | '.')) && piece_before(text, span.start - 1).contains(|c: char| c.is_ascii_digit());
            !(joined || (right == Some('.') && is_digit(right2)))
        }
        _ => {
            let joint = |c: Option<char>| matches!(c, Some('.' | '-' | '/' | ':' | ','));
            let signed = matches!(left, Some('+' | '#' | '$' | '€' | '£'));
            let goes_on = (joint(left) && is_digit(left2)) || (joint(right) && is_digit(right2));
            !(signed || goes_on)
        }
    }
}

fn is_word(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

fn is_digit(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_ascii_digit())
}

fn piece_before(text: &str, end: usize) -> &str {
    let head = text.get(..end).unwrap_or_default();
    let length = head.bytes().rev().take_while(u8::is_ascii_alphanumeric).count();
    head.get(head.len() - length..).unwrap_or_default()
}

/// Four numbers with dots between them are a version when the word before says so.
fn is_version(text: &str, span: &Span) -> bool {
    let says =
        |word: &str| matches!(word.to_lowercase().as_str(), "version" | "versions" | "v" | "ver" | "release" | "section" | "rev");
    context::word_before(text, span.start).is_some_and(says)
}

const DATE: &str = r"(?i)\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2})?)?|\d{1,2}[./\-]\d{1,2}[./\-](?:\d{4}|\d{2})|\d{1,2}(?:st|nd|rd|th)?\.? (?:of )?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6},? \d{4}|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4}";

/// Letters and digits of the shortest and the longest wallet.
const WALLET: std::ops::RangeInclusive<usize> = 26..=90;

fn wallet(text: &str, at: Range<usize>) -> Option<Span> {
    let value = text.get(at.clone()).filter(|value| WALLET.contains(&value.len()))?;
    if let Some(hex) = value.strip_prefix("0x") {
        let is_address = hex.len() == 40 && hex.bytes().all(|b| b.is_ascii_hexdigit());
        let span = shaped(Entity::Crypto, at, value.to_lowercase(), 0.8);
        return (is_address && stands_alone(text, &span)).then_some(span);
    }
    let is_bech32 = value.get(..3).is_some_and(|head| head.eq_ignore_ascii_case("bc1"));
    let valid = if is_bech32 { crypto::bech32_address(value) } else { crypto::base58_address(value) };
    let span = Span { evidence: Evidence::Checksum, ..shaped(Entity::Crypto, at, value.to_owned(), 1.0) };
    (valid && stands_alone(text, &span)).then_some(span)
}
