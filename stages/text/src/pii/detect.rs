//! The patterns. Each is a linear-time regular expression and a function that accepts or refuses what it matched.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
    ops::Range,
};

use regex::Regex;

use super::{Entity, Evidence, Span, Value, checksum, context, crypto, numbers, phone};

/// What a matched text turned out to be.
pub(super) struct Accepted {
    /// The part of the match that is the value.
    pub at: Range<usize>,
    /// The value without separators and case.
    pub normal: String,
    /// The score before context.
    pub score: f64,
    /// What it rests on.
    pub evidence: Evidence,
}

impl Accepted {
    /// A value that fills the whole match.
    pub(super) fn whole(text: &str, normal: String, score: f64) -> Self {
        Self { at: 0..text.len(), normal, score, evidence: Evidence::Pattern }
    }

    /// The same with a checksum behind it.
    pub(super) fn checked(mut self) -> Self {
        self.evidence = Evidence::Checksum;
        self
    }
}

/// Cheap facts about a text that rule patterns out.
struct Traits {
    digits: usize,
    has_at: bool,
    has_colon: bool,
    has_host: bool,
}

impl Traits {
    fn of(text: &str) -> Self {
        Self {
            digits: text.bytes().filter(u8::is_ascii_digit).count(),
            has_at: text.contains('@'),
            has_colon: text.contains(':') || text.contains('-'),
            has_host: text.contains("://") || text.contains("www.") || text.contains("WWW."),
        }
    }
}

struct Pattern {
    entity: Entity,
    worth: fn(&Traits) -> bool,
    regex: Regex,
    accept: fn(&str) -> Option<Accepted>,
}

/// All patterns, compiled.
pub(super) struct Detectors {
    patterns: Vec<Pattern>,
    iban_head: Regex,
}

impl Detectors {
    pub(super) fn new() -> Self {
        let some = |least: usize| -> fn(&Traits) -> bool {
            match least {
                9 => |t| t.digits >= 9,
                _ => |t| t.digits >= 4,
            }
        };
        let mut patterns = vec![
            pattern(Entity::EmailAddress, |t| t.has_at, r"[\p{L}\p{N}._%+'\-]+@(?:[\p{L}\p{N}\-]+\.)+\p{L}{2,24}", email),
            pattern(Entity::Url, |t| t.has_host, r#"(?i)(?:\b(?:https?|ftp)://|\bwww\.)[^\s<>"'`\[\]{}]{3,}"#, url),
            pattern(Entity::IpAddress, some(4), r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}", ipv4),
            pattern(Entity::IpAddress, |t| t.has_colon, r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}", ipv6),
            pattern(Entity::MacAddress, |t| t.has_colon, r"[0-9A-Fa-f]{2}(?:[:\-][0-9A-Fa-f]{2}){5}", mac),
            pattern(Entity::UsSsn, some(9), r"\d{3}-\d{2}-\d{4}|\d{3} \d{2} \d{4}|\d{9}", ssn),
            pattern(Entity::UkNhs, some(9), r"\d{3} \d{3} \d{4}|\d{3}-\d{3}-\d{4}|\d{10}", nhs),
            pattern(
                Entity::Crypto,
                some(4),
                r"[13][1-9A-HJ-NP-Za-km-z]{25,34}|(?i:bc1[02-9ac-hj-np-z]{11,71})|0x[0-9A-Fa-f]{40}",
                wallet,
            ),
            pattern(Entity::DateOfBirth, some(4), DATE, |text| Some(Accepted::whole(text, text.to_lowercase(), 0.2))),
        ];
        patterns.extend(phone::PATTERNS.map(|(regex, accept)| pattern(Entity::PhoneNumber, some(4), regex, accept)));
        Self { patterns, iban_head: compile(r"[A-Za-z]{2}\d{2}") }
    }

    /// Returns all candidates of the wanted kinds; they may overlap.
    pub(super) fn find(&self, text: &str, wanted: &BTreeSet<Entity>) -> Vec<Span> {
        let traits = Traits::of(text);
        let mut found = Vec::new();
        for pattern in self.patterns.iter().filter(|p| wanted.contains(&p.entity) && (p.worth)(&traits)) {
            found.extend(pattern.find(text));
        }
        if wanted.contains(&Entity::CreditCard) && traits.digits >= 13 {
            found.extend(numbers::cards(text));
        }
        if wanted.contains(&Entity::IbanCode) && traits.digits >= 9 {
            found.extend(numbers::ibans(text, &self.iban_head));
        }
        found
    }
}

impl Pattern {
    fn find<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Span> + 'a {
        self.regex.find_iter(text).filter_map(|found| {
            let accepted = (self.accept)(found.as_str())?;
            let (start, end) = (found.start() + accepted.at.start, found.start() + accepted.at.end);
            let Accepted { normal, score, evidence, .. } = accepted;
            let span = Span { start, end, entity: self.entity, score, evidence, value: Value::Real, normal };
            (stands_alone(text, &span) && !is_version(text, &span)).then_some(span)
        })
    }
}

fn pattern(entity: Entity, worth: fn(&Traits) -> bool, regex: &str, accept: fn(&str) -> Option<Accepted>) -> Pattern {
    Pattern { entity, worth, regex: compile(regex), accept }
}

fn compile(regex: &str) -> Regex {
    Regex::new(regex).expect("patterns are constants that the tests compile")
}

/// Whether nothing around a span shows that it is a piece of something longer.
pub(super) fn stands_alone(text: &str, span: &Span) -> bool {
    let mut before = text[..span.start].chars().rev();
    let mut after = text[span.end..].chars();
    let (left, left2) = (before.next(), before.next());
    let (right, right2) = (after.next(), after.next());
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    match span.entity {
        Entity::EmailAddress | Entity::Url => true,
        Entity::IpAddress | Entity::MacAddress => {
            let joint = |c: Option<char>| matches!(c, Some(':' | '.' | '-'));
            // A port may follow an IPv4 address.
            let is_port = right == Some(':') && text[span.start..span.end].contains('.');
            let goes_on = (joint(left) && is_word(left2)) || (joint(right) && is_word(right2) && !is_port);
            !(is_word(left) || is_word(right) || goes_on)
        }
        Entity::CreditCard | Entity::IbanCode | Entity::Crypto => !is_word(left) && !is_word(right),
        Entity::UkNhs | Entity::UsSsn | Entity::PhoneNumber | Entity::DateOfBirth => {
            let joint = |c: Option<char>| matches!(c, Some('.' | '-' | '/' | ':' | ','));
            let signed = matches!(left, Some('+' | '#' | '$' | '€' | '£'));
            let goes_on = (joint(left) && is_digit(left2)) || (joint(right) && is_digit(right2));
            !(is_word(left) || is_word(right) || signed || goes_on)
        }
    }
}

/// Four numbers with dots between them are a version when the word before says so.
fn is_version(text: &str, span: &Span) -> bool {
    let says =
        |word: &str| matches!(word.to_lowercase().as_str(), "version" | "versions" | "v" | "ver" | "release" | "section" | "rev");
    span.entity == Entity::IpAddress && context::word_before(text, span.start).is_some_and(says)
}

const DATE: &str = r"(?i)\d{4}-\d{2}-\d{2}|\d{1,2}[./\-]\d{1,2}[./\-](?:\d{4}|\d{2})|\d{1,2}(?:st|nd|rd|th)?\.? (?:of )?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6},? \d{4}|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4}";

fn email(text: &str) -> Option<Accepted> {
    let start = text.len() - text.trim_start_matches(['.', '\'', '-', '%', '+', '_']).len();
    let value = text.get(start..)?;
    let (local, host) = value.split_once('@')?;
    let plausible =
        !local.is_empty() && local.len() <= 64 && host.len() <= 253 && !host.starts_with('-') && !value.contains("..");
    plausible.then(|| Accepted { at: start..text.len(), normal: value.to_lowercase(), score: 1.0, evidence: Evidence::Pattern })
}

fn url(text: &str) -> Option<Accepted> {
    let value = text.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', '*', '_', '\\', '|']);
    value.contains('.').then(|| Accepted {
        at: 0..value.len(),
        normal: value.to_lowercase(),
        score: 0.9,
        evidence: Evidence::Pattern,
    })
}

fn ipv4(text: &str) -> Option<Accepted> {
    let address: Ipv4Addr = text.parse().ok()?;
    Some(Accepted::whole(text, address.to_string(), 0.6))
}

fn ipv6(text: &str) -> Option<Accepted> {
    let address: Ipv6Addr = text.parse().ok()?;
    let groups = text.split(':').filter(|group| !group.is_empty()).count();
    // `a::b` is a path in many programming languages.
    let plausible = groups >= 3 && text.bytes().any(|b| b.is_ascii_digit());
    plausible.then(|| Accepted::whole(text, address.to_string(), 0.8))
}

fn mac(text: &str) -> Option<Accepted> {
    let one_separator = !(text.contains(':') && text.contains('-'));
    let normal: String = text.chars().filter(char::is_ascii_hexdigit).map(|c| c.to_ascii_lowercase()).collect();
    one_separator.then(|| Accepted::whole(text, normal, 0.9))
}

fn ssn(text: &str) -> Option<Accepted> {
    let digits = numbers::digits(text);
    let score = match text.as_bytes().get(3) {
        Some(b'-') => 0.85,
        Some(b' ') => 0.4,
        _ => 0.2,
    };
    checksum::ssn(&digits).then(|| Accepted::whole(text, numbers::normal(text), score))
}

fn nhs(text: &str) -> Option<Accepted> {
    let valid = checksum::nhs(&numbers::digits(text));
    // One number in eleven passes by chance: without separators a context word must help.
    let spaced = text.len() > 10;
    let accepted = || Accepted::whole(text, numbers::normal(text), if spaced { 0.6 } else { 0.2 });
    valid.then(|| if spaced { accepted().checked() } else { accepted() })
}

fn wallet(text: &str) -> Option<Accepted> {
    if text.starts_with("0x") {
        return Some(Accepted::whole(text, text.to_lowercase(), 0.8));
    }
    let valid = if text.get(..3).is_some_and(|head| head.eq_ignore_ascii_case("bc1")) {
        crypto::bech32_address(text)
    } else {
        crypto::base58_address(text)
    };
    valid.then(|| Accepted::whole(text, text.to_owned(), 1.0).checked())
}
