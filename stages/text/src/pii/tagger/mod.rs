//! Finds people, places, organisations, dates, ages, nationalities, and titles in sentences, with a small model of our own.
//!
//! Every token gets a label from the words, endings, and shapes around it and from short lists of common words: a linear chain
//! whose weights an averaged perceptron learned from sentences that `examples/train-tagger` makes. Numbers with a form of their
//! own are left to the patterns.

mod facts;
mod labels;
mod lists;
mod model;
mod tokens;
pub mod train;

use std::sync::LazyLock;

pub use labels::{Label, Mark};
pub use lists::words;
pub use model::{Model, ModelError};
pub use tokens::{Token, tokens};

use super::{Entity, Evidence, Span, Value};
use facts::Sentence;

/// Tokens that are labelled together at most, so that memory does not grow with the text.
const STRETCH: usize = 4_096;

/// The model that travels with the program.
static BUILTIN: LazyLock<Option<Model>> = LazyLock::new(|| Model::read(include_bytes!("weights.bin")).ok());

/// Labels sentences; made once and shared by threads.
pub struct Tagger<'a> {
    model: &'a Model,
}

impl Tagger<'static> {
    /// The tagger that travels with the program.
    pub fn builtin() -> Option<Self> {
        BUILTIN.as_ref().map(|model| Self { model })
    }
}

impl<'a> Tagger<'a> {
    /// A tagger with weights of your own.
    pub fn new(model: &'a Model) -> Self {
        Self { model }
    }

    /// Returns what a text names, in order. Spans whose labels win by less than a margin are left out.
    pub fn find(&self, text: &str, min_margin: f64) -> Vec<Span> {
        let all = tokens(text);
        let mut found = Vec::new();
        for stretch in all.chunks(STRETCH) {
            let sentence = Sentence::of(text, stretch);
            let labelled = self.model.label(&sentence);
            found.extend(spans(text, stretch, &labelled).filter(|span| span.score >= min_margin));
        }
        merged(text, found)
    }
}

/// The runs of equal entities.
fn spans<'a>(text: &'a str, tokens: &'a [Token], labelled: &'a [(Label, f64)]) -> impl Iterator<Item = Span> + 'a {
    let mut at = 0;
    std::iter::from_fn(move || {
        while let (Some(token), Some((label, margin))) = (tokens.get(at), labelled.get(at)) {
            at += 1;
            let Some(entity) = label.entity() else { continue };
            let (mut end, mut sum, mut count) = (token.end, *margin, 1.0);
            while let (Some(next), Some((label, margin))) = (tokens.get(at), labelled.get(at)) {
                if label.entity() != Some(entity) || label.mark() != Mark::Inside {
                    break;
                }
                (end, sum, count, at) = (next.end, sum + margin, count + 1.0, at + 1);
            }
            return Some(span(text, token.start..end, entity, sum / count));
        }
        None
    })
}

fn span(text: &str, at: std::ops::Range<usize>, entity: Entity, score: f64) -> Span {
    let value = text.get(at.clone()).unwrap_or_default();
    let normal = value.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    Span { start: at.start, end: at.end, entity, score, evidence: Evidence::Model, value: Value::Real, normal }
}

/// Joins neighbours of one kind that only spaces part.
fn merged(text: &str, found: Vec<Span>) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::with_capacity(found.len());
    for next in found {
        match out.last_mut() {
            Some(last)
                if last.entity == next.entity
                    && text.get(last.end..next.start).is_some_and(|gap| gap.chars().all(char::is_whitespace)) =>
            {
                *last = span(text, last.start..next.end, last.entity, last.score.max(next.score));
            }
            _ => out.push(next),
        }
    }
    out
}

#[cfg(test)]
mod tests;
