//! The rules of the profile `sft` with their limits, and what becomes of a row that breaks one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Repetition;

/// What becomes of a row that breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing: the rule is not asked.
    Ignore,
    /// It stays, and `meta._flags` names the rule.
    Flag,
    /// It stays, and `meta._review` names the rule: a person shall look at it.
    Review,
    /// It goes.
    Drop,
}

/// Limits on a number of words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WordCount {
    /// The fewest words.
    pub min: usize,
    /// The most words.
    pub max: usize,
    /// What becomes of a row beyond them.
    pub action: Action,
}

/// A limit from above.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AtMost {
    /// The largest value.
    pub max: f64,
    /// What becomes of a row beyond it.
    pub action: Action,
}

/// A limit from below.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AtLeast {
    /// The smallest value.
    pub min: f64,
    /// What becomes of a row below it.
    pub action: Action,
}

/// Limits on how far an answer can be compressed: noise cannot, repetition can.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compression {
    /// The smallest ratio of bytes before and after.
    pub min: f64,
    /// The largest ratio.
    pub max: f64,
    /// Shorter answers are not judged.
    pub min_bytes: usize,
    /// What becomes of a row beyond the limits.
    pub action: Action,
}

/// A rule without a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plain {
    /// What becomes of a row that breaks it.
    pub action: Action,
}

/// The rules for instructions and answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Words of everything the user says.
    pub prompt_words: WordCount,
    /// Words of everything the assistant answers.
    pub answer_words: WordCount,
    /// No empty turn; user and assistant take turns; the assistant has the last word.
    pub turns: Plain,
    /// Words that prompt and answer share: an answer that repeats its question teaches nothing.
    pub prompt_answer_jaccard: AtMost,
    /// The share of letters among the characters of the answer; code, mathematics, and short answers are not judged.
    pub alpha_ratio: AtLeast,
    /// Repetition within the answer; of code and calculations, only their lines and paragraphs are compared.
    pub repetition: Repetition,
    /// How far the answer can be compressed.
    pub compression_ratio: Compression,
    /// The answer is a refusal, or speaks of itself as an AI language model.
    pub boilerplate_refusal: Plain,
    /// A long answer stops in the middle of a sentence.
    pub unfinished: Plain,
    /// The share of all rows that have exactly this answer.
    pub shared_answer: AtMost,
    /// How far the ratio of answer length to prompt length lies outside the middle half of all rows, in widths of that half
    /// (on a logarithmic scale, and at least a half).
    pub length_ratio: AtMost,
}

impl Default for Rules {
    fn default() -> Self {
        let flag = Plain { action: Action::Flag };
        Self {
            prompt_words: WordCount { min: 1, max: 8_000, action: Action::Drop },
            answer_words: WordCount { min: 1, max: 16_000, action: Action::Drop },
            turns: Plain { action: Action::Drop },
            prompt_answer_jaccard: AtMost { max: 0.9, action: Action::Drop },
            alpha_ratio: AtLeast { min: 0.4, action: Action::Flag },
            repetition: Repetition::default(),
            compression_ratio: Compression { min: 1.2, max: 8.0, min_bytes: 200, action: Action::Flag },
            boilerplate_refusal: flag.clone(),
            unfinished: flag,
            shared_answer: AtMost { max: 0.01, action: Action::Flag },
            length_ratio: AtMost { max: 3.0, action: Action::Flag },
        }
    }
}
