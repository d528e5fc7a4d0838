//! Finds personal data in text by patterns, checksums, and context words, and replaces it by a policy.
//!
//! A text is scanned as it stands and in a folded view in which hidden characters, full-width digits, look-alike letters, and
//! `name [at] host [dot] com` are plain. Names of people,
//! places, and organisations are found by a small model of our own, and only when they are asked for.

mod apply;
mod checksum;
mod context;
mod crypto;
mod detect;
mod entity;
mod fold;
mod forms;
mod network;
mod numbers;
mod phone;
mod placeholder;
pub mod tagger;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use apply::{Action, ActionKind, Policy, PseudonymKey, apply, masked_sample};
pub use entity::{Entity, Home, Locale};

use detect::Detectors;
use fold::Folded;
use tagger::Tagger;

/// How far around a candidate a context word counts, and how much.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Context {
    /// Words before the candidate.
    pub words_before: usize,
    /// Words after it.
    pub words_after: usize,
    /// Added to the score when a context word is there.
    pub boost: f64,
}

impl Default for Context {
    fn default() -> Self {
        Self { words_before: 8, words_after: 8, boost: 0.35 }
    }
}

/// What a scanner looks for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Kinds of personal data.
    pub entities: BTreeSet<Entity>,
    /// Candidates below this score are dropped.
    pub threshold: f64,
    /// The reach and weight of context words.
    pub context: Context,
    /// Whether the folded view is scanned too.
    pub folded_view: bool,
    /// Values that are never personal data.
    pub allow: BTreeSet<String>,
    /// Names of people, places, and the like are left when their labels win by less than this, from 0 to 1.
    pub min_margin: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            entities: Entity::usual(),
            threshold: 0.5,
            context: Context::default(),
            folded_view: true,
            allow: BTreeSet::new(),
            min_margin: 0.4,
        }
    }
}

/// What a span rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Its shape, and perhaps a context word.
    Pattern,
    /// A checksum that holds.
    Checksum,
    /// The tagger's reading of the sentence.
    Model,
}

/// Whether a value can belong to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// It can.
    Real,
    /// It is reserved for documentation and tests, such as `example.com` or `555-0100`.
    Test,
}

/// One piece of personal data in a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// What it is.
    pub entity: Entity,
    /// From the threshold to 1.
    pub score: f64,
    /// What the score rests on.
    pub evidence: Evidence,
    /// Whether it can belong to somebody.
    pub value: Value,
    /// The value without separators and case: equal for all spellings of one value.
    pub normal: String,
}

/// Finds personal data; made once and shared by threads.
pub struct Scanner {
    options: Options,
    detectors: Detectors,
    tagger: Option<Tagger<'static>>,
}

impl Scanner {
    /// Compiles the patterns of the wanted kinds.
    pub fn new(options: &Options) -> Self {
        let named = options.entities.iter().any(|entity| entity.home() == Home::Language);
        let tagger = if named { Tagger::builtin() } else { None };
        Self { options: options.clone(), detectors: Detectors::new(&options.entities), tagger }
    }

    /// The same with a model of your own for names.
    pub fn with_model(options: &Options, model: &'static tagger::Model) -> Self {
        Self { tagger: Some(Tagger::new(model)), ..Self::new(options) }
    }

    /// Returns spans in text order that do not overlap.
    pub fn scan(&self, text: &str) -> Vec<Span> {
        let folded = if self.options.folded_view { Folded::of(text) } else { None };
        let mut found = self.candidates(text);
        if let Some(folded) = &folded {
            let hidden = self.candidates(folded.text());
            found.extend(hidden.into_iter().map(|span| folded.to_source(span)));
        }
        let found = without_overlaps(found);
        let mut all = found.clone();
        // What a pattern proves the model need not guess: only the rest of a name or an address is its own.
        all.extend(self.named(text, folded.as_ref()).into_iter().flat_map(|span| rest_of(text, &span, &found)));
        all.retain(|span| text.get(span.start..span.end).is_some_and(|value| !self.options.allow.contains(value)));
        all.sort_by_key(|span| span.start);
        all
    }

    fn named(&self, text: &str, folded: Option<&Folded>) -> Vec<Span> {
        let wanted = |span: &Span| self.options.entities.contains(&span.entity);
        let Some(tagger) = self.tagger.as_ref() else { return Vec::new() };
        let mut found = match folded {
            Some(folded) => {
                tagger.find(folded.text(), self.options.min_margin).into_iter().map(|s| folded.to_source(s)).collect()
            }
            None => tagger.find(text, self.options.min_margin),
        };
        found.retain(wanted);
        found
    }

    fn candidates(&self, text: &str) -> Vec<Span> {
        let mut found = self.detectors.find(text);
        for span in &mut found {
            if span.score < 1.0 && context::supports(text, span, self.options.context) {
                span.score = (span.score + self.options.context.boost).min(1.0);
            }
            span.value = placeholder::judge(span.entity, &span.normal);
        }
        found.retain(|span| span.score >= self.options.threshold);
        found
    }
}

/// Keeps the best of overlapping spans: higher score, then longer, then the order of kinds.
fn without_overlaps(mut found: Vec<Span>) -> Vec<Span> {
    found.sort_by(|a, b| {
        let length = |span: &Span| span.end - span.start;
        b.score.total_cmp(&a.score).then(length(b).cmp(&length(a))).then(a.entity.cmp(&b.entity)).then(a.start.cmp(&b.start))
    });
    let mut kept: BTreeMap<usize, Span> = BTreeMap::new();
    for span in found {
        let before = kept.range(..span.end).next_back();
        if before.is_none_or(|(_, other)| other.end <= span.start) {
            kept.insert(span.start, span);
        }
    }
    kept.into_values().collect()
}

/// What other spans leave of a span, without the signs at its edges.
fn rest_of(text: &str, span: &Span, others: &[Span]) -> Vec<Span> {
    let mut parts = Vec::new();
    let mut at = span.start;
    for other in others.iter().filter(|other| other.start < span.end && span.start < other.end) {
        parts.push(at..other.start.max(at));
        at = at.max(other.end);
    }
    let whole = parts.is_empty();
    parts.push(at..span.end.max(at));
    let part = |range: std::ops::Range<usize>| {
        let value = text.get(range.clone()).unwrap_or_default();
        let is_edge = |c: char| !c.is_alphanumeric();
        let start = range.start + value.len() - value.trim_start_matches(is_edge).len();
        let end = start + value.trim_matches(is_edge).len();
        (end > start).then(|| Span { start, end, normal: text[start..end].to_lowercase(), ..span.clone() })
    };
    if whole { vec![span.clone()] } else { parts.into_iter().filter_map(part).collect() }
}

#[cfg(test)]
mod tests;
