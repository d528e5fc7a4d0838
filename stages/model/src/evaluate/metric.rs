//! The scores of one answer. Every score but the likelihood compares the answer's text with the reference.

use flow_text::score::{Normalizer, exact_match, match_fields, rouge};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is scored, from 0 to 1 unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Whether the answer is the reference.
    ExactMatch,
    /// Whether every field of the answer is right.
    FieldMatch,
    /// The share of fields that are right.
    FieldAccuracy,
    /// Mean negative log-likelihood of the reference per token, in nats; lower is better.
    Nll,
    /// F1 of single words.
    Rouge1,
    /// F1 of pairs of words.
    Rouge2,
    /// F1 of the longest common subsequence.
    #[serde(rename = "rougeL")]
    RougeL,
    /// F1 of the longest common subsequences line by line.
    #[serde(rename = "rougeLsum")]
    RougeLsum,
}

impl Metric {
    /// Its name in configurations, gates, and items.
    pub fn name(self) -> &'static str {
        match self {
            Self::ExactMatch => "exact_match",
            Self::FieldMatch => "field_match",
            Self::FieldAccuracy => "field_accuracy",
            Self::Nll => "nll",
            Self::Rouge1 => "rouge1",
            Self::Rouge2 => "rouge2",
            Self::RougeL => "rougeL",
            Self::RougeLsum => "rougeLsum",
        }
    }

    /// Whether it looks at fields.
    pub(super) fn reads_fields(self) -> bool {
        matches!(self, Self::FieldMatch | Self::FieldAccuracy)
    }
}

/// How answers are compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comparison<'a> {
    /// Fields that count; all of the reference's when empty.
    pub(super) fields: &'a [String],
    /// What counts as the same text.
    pub(super) normalizer: Normalizer,
}

impl Comparison<'_> {
    /// Scores an answer. Returns nothing for the likelihood, and for fields that the reference does not have.
    pub(super) fn score(&self, metric: Metric, answer: &str, reference: &str) -> Option<f64> {
        let fields = || match_fields(answer, reference, self.fields, self.normalizer);
        match metric {
            Metric::ExactMatch => Some(f64::from(u8::from(exact_match(answer, reference, self.normalizer)))),
            Metric::FieldMatch => Some(f64::from(u8::from(fields()?.is_exact()))),
            Metric::FieldAccuracy => fields().map(|score| share(score.correct, score.total)),
            Metric::Rouge1 => Some(rouge(answer, reference).rouge1.f1),
            Metric::Rouge2 => Some(rouge(answer, reference).rouge2.f1),
            Metric::RougeL => Some(rouge(answer, reference).rouge_l.f1),
            Metric::RougeLsum => Some(rouge(answer, reference).rouge_lsum.f1),
            Metric::Nll => None,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of fields are far below 2^53")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFERENCE: &str = "category: billing\npriority: high";

    fn score(metric: Metric, answer: &str) -> Option<f64> {
        Comparison { fields: &[], normalizer: Normalizer::default() }.score(metric, answer, REFERENCE)
    }

    #[test]
    fn fields_do_not_depend_on_their_order() {
        let turned = "priority: high\ncategory: billing";
        assert_eq!(score(Metric::ExactMatch, turned), Some(0.0));
        assert_eq!(score(Metric::FieldMatch, turned), Some(1.0));
    }

    #[test]
    fn half_of_the_fields_is_no_match_and_half_the_accuracy() {
        let answer = "category: billing\npriority: low";
        assert_eq!(score(Metric::FieldMatch, answer), Some(0.0));
        assert_eq!(score(Metric::FieldAccuracy, answer), Some(0.5));
        assert!(score(Metric::Rouge1, answer).unwrap() > 0.7);
        assert_eq!(score(Metric::Nll, answer), None);
    }

    #[test]
    fn a_field_the_reference_lacks_has_no_score() {
        let comparison = Comparison { fields: &["team".to_owned()], normalizer: Normalizer::default() };
        assert_eq!(comparison.score(Metric::FieldMatch, "team: a", REFERENCE), None);
    }

    #[test]
    fn names_are_what_configurations_say() {
        for metric in [Metric::ExactMatch, Metric::FieldAccuracy, Metric::Rouge2, Metric::RougeL, Metric::RougeLsum, Metric::Nll]
        {
            assert_eq!(serde_json::to_value(metric).unwrap(), metric.name());
        }
    }
}
