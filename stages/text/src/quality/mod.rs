//! Whether a row is worth learning from: rules with limits, each with a reason of its own.
//!
//! The profile `sft` judges instructions and answers apart and drops little; `web` applies the published rules for web pages
//! to a row as one text. [`Census`] is what must be known of all rows before the first is judged.

mod page;
mod repetition;
mod rules;
mod sft;
mod web;

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

pub use repetition::Repetition;
pub use rules::{Action, AtLeast, AtMost, Compression, Plain, Rules, WordCount};

use crate::{
    record::Record,
    shingle::{Part, text_of},
};
use page::Page;

/// A set of rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Instructions and answers: see `rules`.
    #[default]
    Sft,
    /// Pages of running text: Gopher, C4, and `FineWeb` with their published limits, and `rules.repetition`.
    Web,
}

/// A rule that a row broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The rule.
    pub reason: &'static str,
    /// What it asks for.
    pub action: Action,
}

/// What the rules say about a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// The rules it broke, in their order.
    pub broken: Vec<Broken>,
}

impl Judgement {
    /// The worst that a broken rule asks for.
    pub fn action(&self) -> Action {
        self.broken.iter().map(|broken| broken.action).max().unwrap_or(Action::Ignore)
    }

    /// From 1, when no rule is broken, to 0: a rule that drops takes all, one that asks for review 0.3, a flag 0.1.
    pub fn score(&self) -> f64 {
        let cost = |broken: &Broken| match broken.action {
            Action::Ignore => 0.0,
            Action::Flag => 0.1,
            Action::Review => 0.3,
            Action::Drop => 1.0,
        };
        (1.0 - self.broken.iter().map(cost).sum::<f64>()).max(0.0)
    }

    fn note(&mut self, reason: &'static str, action: Action, is_broken: impl FnOnce() -> bool) {
        if action != Action::Ignore && is_broken() {
            self.broken.push(Broken { reason, action });
        }
    }
}

/// What of a row the census counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    answer: u64,
    log_ratio: f64,
}

impl Entry {
    /// Takes the numbers of a row.
    pub fn of(record: &Record) -> Self {
        let (prompt, answer) = (text_of(record, Part::Prompt), text_of(record, Part::Answer));
        let log = |text: &str| page::ratio(text.len() + 1, 1).ln();
        Self { answer: xxh3_64(answer.trim().as_bytes()), log_ratio: log(&answer) - log(&prompt) }
    }
}

/// Rows below which nobody can say what is usual.
const FEW_ROWS: usize = 8;

/// What all rows look like together: how often answers come, and how long they are beside their prompts.
#[derive(Clone, Debug, Default)]
pub struct Census {
    answers: HashMap<u64, usize>,
    rows: usize,
    middle: (f64, f64),
}

impl Census {
    /// Counts the rows.
    pub fn new(entries: &[Entry]) -> Self {
        let mut answers = HashMap::new();
        for entry in entries {
            *answers.entry(entry.answer).or_default() += 1;
        }
        let mut ratios: Vec<f64> = entries.iter().map(|entry| entry.log_ratio).collect();
        ratios.sort_by(f64::total_cmp);
        let at = |quarter: usize| ratios.get(ratios.len() * quarter / 4).copied().unwrap_or(0.0);
        Self { answers, rows: entries.len(), middle: (at(1), at(3)) }
    }

    /// The share of rows with the answer of a row; 0 where no other row has it.
    fn shared(&self, entry: Entry) -> f64 {
        let same = self.answers.get(&entry.answer).copied().unwrap_or(0);
        if same < 2 { 0.0 } else { page::ratio(same, self.rows) }
    }

    /// How many widths of the middle half a row lies outside of it.
    fn outlying(&self, entry: Entry) -> f64 {
        if self.rows < FEW_ROWS {
            return 0.0;
        }
        let (low, high) = self.middle;
        let beyond = (low - entry.log_ratio).max(entry.log_ratio - high).max(0.0);
        // Where rows are much alike, a small difference would be many widths.
        beyond / (high - low).max(0.5)
    }
}

/// Judges a row by a profile.
pub fn judge(record: &Record, profile: Profile, rules: &Rules, census: &Census) -> Judgement {
    match profile {
        Profile::Sft => sft::judge(record, rules, census),
        Profile::Web => judge_page(&text_of(record, Part::Both), rules),
    }
}

fn judge_page(text: &str, rules: &Rules) -> Judgement {
    let page = Page::new(text);
    let mut judgement = Judgement::default();
    for family in [web::gopher, web::c4, web::fineweb] {
        if let Some(reason) = family(&page) {
            judgement.broken.push(Broken { reason, action: Action::Drop });
        }
    }
    judgement.note("repetition", rules.repetition.action, || !rules.repetition.allows(&page));
    judgement
}

#[cfg(test)]
mod tests;
