//! Numbers in groups: where digits stand, the pieces around them, and what their lengths and checksums make of them.
//!
//! A text is read once for digits. Around each one the piece of letters and digits is found, and the pieces that one separator
//! joins to it; every stretch of pieces is looked up by its length among the forms of all numbers.

use std::collections::BTreeSet;

use super::{
    Entity, Evidence, Span, Value, checksum,
    detect::stands_alone,
    forms::{FORMS, Form},
};

/// Letters and digits at most in one number.
const LONGEST: usize = 90;
/// The digits of the shortest number that has no letters.
const FEWEST_DIGITS: usize = 8;
/// Pieces at most in one number: an IBAN of 34 signs in groups of four.
const MOST_PIECES: usize = 9;
/// A piece of letters is part of a number when it is in capitals and not longer than this.
const LONGEST_WORD: usize = 6;

/// Letters and digits without a separator between them.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) digits: usize,
}

impl Piece {
    fn len(self) -> usize {
        self.end - self.start
    }
}

/// Pieces that single separators join.
pub(super) struct Cluster {
    pub(super) pieces: Vec<Piece>,
}

impl Cluster {
    pub(super) fn digits(&self) -> usize {
        self.pieces.iter().map(|piece| piece.digits).sum()
    }
}

/// Calls `visit` with every cluster of a text that has enough digits for a number.
pub(super) fn clusters(text: &str, least_digits: usize, mut visit: impl FnMut(&Cluster)) {
    let bytes = text.as_bytes();
    let mut cluster = Cluster { pieces: Vec::with_capacity(16) };
    let mut at = 0;
    while let Some(found) = next_digit(bytes, at) {
        cluster.pieces.clear();
        let start = piece_start(bytes, found, at);
        let first = piece_from(bytes, start);
        lead(bytes, start, &mut cluster.pieces, at);
        cluster.pieces.push(first);
        at = first.end;
        while let Some(next) = next_piece(bytes, at) {
            cluster.pieces.push(next);
            at = next.end;
        }
        while cluster.pieces.last().is_some_and(|last| last.digits == 0 && cluster.pieces.len() > 1 && last.len() > 2) {
            cluster.pieces.pop();
        }
        if cluster.digits() >= least_digits {
            visit(&cluster);
        }
    }
}

pub(super) fn next_digit(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let mut at = 0;
    // Eight bytes at a time: a digit is `0x30` to `0x39`.
    while let Some(chunk) = rest.get(at..at + 8) {
        if chunk.iter().fold(false, |any, byte| any | byte.is_ascii_digit()) {
            break;
        }
        at += 8;
    }
    rest.get(at..)?.iter().position(u8::is_ascii_digit).map(|more| from + at + more)
}

fn piece_start(bytes: &[u8], at: usize, floor: usize) -> usize {
    let before = bytes.get(floor..at).unwrap_or_default();
    at - before.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count()
}

fn piece_from(bytes: &[u8], start: usize) -> Piece {
    let rest = bytes.get(start..).unwrap_or_default();
    let mut digits = 0;
    let mut length = 0;
    for byte in rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()) {
        digits += usize::from(byte.is_ascii_digit());
        length += 1;
    }
    Piece { start, end: start + length, digits }
}

/// Adds the pieces of capitals right before a piece, such as a country code.
fn lead(bytes: &[u8], start: usize, pieces: &mut Vec<Piece>, floor: usize) {
    let mut at = start;
    for _ in 0..2 {
        let Some(separator) = at.checked_sub(1).filter(|sign| *sign > floor && is_separator(bytes.get(*sign))) else { break };
        let word = piece_start(bytes, separator, floor);
        if word == separator || !is_code(bytes.get(word..separator).unwrap_or_default()) {
            break;
        }
        pieces.insert(0, Piece { start: word, end: separator, digits: 0 });
        at = word;
    }
}

fn next_piece(bytes: &[u8], end: usize) -> Option<Piece> {
    if !is_separator(bytes.get(end)) {
        return None;
    }
    let piece = piece_from(bytes, end + 1);
    let is_part = piece.digits > 0 || is_code(bytes.get(piece.start..piece.end).unwrap_or_default());
    (piece.len() > 0 && is_part).then_some(piece)
}

fn is_code(word: &[u8]) -> bool {
    (1..=LONGEST_WORD).contains(&word.len()) && word.iter().all(u8::is_ascii_uppercase)
}

fn is_separator(byte: Option<&u8>) -> bool {
    matches!(byte, Some(b' ' | b'-' | b'.' | b'/' | b'+'))
}

/// The forms that are wanted, by the number of their letters and digits.
pub(super) struct Numbers {
    by_length: Vec<Vec<&'static Form>>,
    cards: bool,
    ibans: bool,
}

impl Numbers {
    pub(super) fn new(wanted: &BTreeSet<Entity>) -> Self {
        let longest = FORMS.iter().map(Form::length).max().unwrap_or_default();
        let mut by_length = vec![Vec::new(); longest + 1];
        for form in FORMS.iter().filter(|form| wanted.contains(&form.entity)) {
            if let Some(forms) = by_length.get_mut(form.length()) {
                forms.push(form);
            }
        }
        Self { by_length, cards: wanted.contains(&Entity::CreditCard), ibans: wanted.contains(&Entity::IbanCode) }
    }

    /// Adds what the stretches of a cluster are.
    pub(super) fn find(&self, text: &str, cluster: &Cluster, found: &mut Vec<Span>) {
        let pieces = &cluster.pieces;
        let letters: usize = pieces.iter().map(|piece| piece.len() - piece.digits).sum();
        if letters == 0 && cluster.digits() < FEWEST_DIGITS {
            return;
        }
        for from in 0..pieces.len() {
            let mut candidate = Candidate::new(text, pieces[from]);
            self.judge(&candidate, found);
            for piece in pieces.iter().skip(from + 1).take(MOST_PIECES) {
                candidate.join(text, *piece);
                if candidate.compact.len() > LONGEST {
                    break;
                }
                self.judge(&candidate, found);
            }
        }
    }

    fn judge(&self, candidate: &Candidate<'_>, found: &mut Vec<Span>) {
        if self.cards && candidate.is_card() {
            candidate.report(Entity::CreditCard, 1.0, Evidence::Checksum, found);
        }
        if self.ibans && candidate.is_iban() {
            candidate.report(Entity::IbanCode, 1.0, Evidence::Checksum, found);
        }
        for form in self.by_length.get(candidate.compact.len()).into_iter().flatten() {
            if let Some(score) = candidate.score(form) {
                candidate.report(form.entity, score, form.evidence, found);
            }
        }
    }
}

/// Some neighbouring pieces taken as one number.
struct Candidate<'a> {
    text: &'a str,
    start: usize,
    end: usize,
    compact: String,
    groups: Vec<usize>,
    signs: Vec<u8>,
    digits: usize,
}

impl<'a> Candidate<'a> {
    fn new(text: &'a str, piece: Piece) -> Self {
        let mut candidate = Self {
            text,
            start: piece.start,
            end: piece.end,
            compact: String::new(),
            groups: Vec::new(),
            signs: Vec::new(),
            digits: 0,
        };
        candidate.add(piece);
        candidate
    }

    fn join(&mut self, text: &str, piece: Piece) {
        let sign = text.as_bytes().get(self.end).copied().unwrap_or(b' ');
        self.signs.push(sign);
        self.end = piece.end;
        self.add(piece);
    }

    fn add(&mut self, piece: Piece) {
        let text = self.text.get(piece.start..piece.end).unwrap_or_default();
        self.compact.extend(text.chars().map(|c| c.to_ascii_uppercase()));
        self.groups.push(piece.len());
        self.digits += piece.digits;
    }

    fn is_card(&self) -> bool {
        (12..=19).contains(&self.compact.len())
            && self.digits == self.compact.len()
            && self.is_uniform()
            && self.groups.iter().all(|group| *group > 2)
            && checksum::credit_card(&self.compact)
    }

    fn is_iban(&self) -> bool {
        self.is_uniform() && self.digits > 8 && checksum::iban(&self.compact)
    }

    /// People who write a number in groups keep to one separator.
    fn is_uniform(&self) -> bool {
        self.signs.iter().all(|sign| Some(sign) == self.signs.first() && *sign != b'+')
    }

    fn score(&self, form: &Form) -> Option<f64> {
        let score = form.score(&self.groups, &self.signs)?;
        (form.fits(&self.compact) && (form.check)(&self.compact)).then_some(score)
    }

    fn report(&self, entity: Entity, score: f64, evidence: Evidence, found: &mut Vec<Span>) {
        let span =
            Span { start: self.start, end: self.end, entity, score, evidence, value: Value::Real, normal: self.compact.clone() };
        if stands_alone(self.text, &span) {
            found.push(span);
        }
    }
}
