//! Exact match and token F1 under a stated normalisation.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Overlap;

/// What counts as the same text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Normalizer {
    /// Every character counts.
    None,
    /// White space at the ends and the length of white space inside do not.
    #[default]
    Whitespace,
    /// Nor does case.
    Caseless,
    /// Nor do ASCII punctuation and the articles a, an, the: the rule of question-answering benchmarks.
    Answer,
}

impl Normalizer {
    /// Returns the text with everything that does not count taken out.
    pub fn apply(self, text: &str) -> String {
        match self {
            Self::None => text.to_owned(),
            Self::Whitespace => join(text.split_whitespace()),
            Self::Caseless => join(text.to_lowercase().split_whitespace()),
            Self::Answer => {
                let kept: String = text.to_lowercase().chars().filter(|c| !c.is_ascii_punctuation()).collect();
                join(kept.split_whitespace().filter(|word| !matches!(*word, "a" | "an" | "the")))
            }
        }
    }
}

fn join<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

/// Whether both texts are the same to the normalizer.
pub fn exact_match(prediction: &str, reference: &str, normalizer: Normalizer) -> bool {
    normalizer.apply(prediction) == normalizer.apply(reference)
}

/// Overlap of the words of both texts, each counted as often as it is there. Two empty texts agree.
pub fn token_f1(prediction: &str, reference: &str, normalizer: Normalizer) -> Overlap {
    let (prediction, reference) = (normalizer.apply(prediction), normalizer.apply(reference));
    let predicted: Vec<&str> = prediction.split_whitespace().collect();
    let expected: Vec<&str> = reference.split_whitespace().collect();
    if predicted.is_empty() && expected.is_empty() {
        return Overlap { precision: 1.0, recall: 1.0, f1: 1.0 };
    }
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for word in &expected {
        *left.entry(word).or_default() += 1;
    }
    let mut common = 0;
    for word in &predicted {
        if let Some(count) = left.get_mut(word).filter(|count| **count > 0) {
            *count -= 1;
            common += 1;
        }
    }
    Overlap::of(common, predicted.len(), expected.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn normalizers_ignore_more_and_more() {
        assert!(!exact_match("a  b", "a b", Normalizer::None));
        assert!(exact_match(" a\n b ", "a b", Normalizer::Whitespace));
        assert!(!exact_match("A b", "a b", Normalizer::Whitespace));
        assert!(exact_match("A b", "a B", Normalizer::Caseless));
        assert!(!exact_match("The cat!", "cat", Normalizer::Caseless));
        assert!(exact_match("The cat!", "a cat", Normalizer::Answer));
    }

    #[test]
    fn token_f1_counts_repeated_words() {
        // Two of the three predicted words are among the four expected ones.
        let overlap = token_f1("big big dog", "a big red dog", Normalizer::Caseless);
        assert_eq!(overlap, Overlap { precision: 2.0 / 3.0, recall: 0.5, f1: 2.0 * (2.0 / 3.0) * 0.5 / (2.0 / 3.0 + 0.5) });
        assert_eq!(token_f1("", "word", Normalizer::Whitespace).f1.to_bits(), 0f64.to_bits());
        assert_eq!(token_f1(" ", "", Normalizer::Whitespace).f1.to_bits(), 1f64.to_bits());
    }

    proptest! {
        #[test]
        fn normalizing_twice_changes_nothing(text in "\\PC{0,40}") {
            for normalizer in [Normalizer::None, Normalizer::Whitespace, Normalizer::Caseless] {
                let once = normalizer.apply(&text);
                prop_assert_eq!(normalizer.apply(&once), once);
            }
        }

        #[test]
        fn swapping_the_texts_swaps_precision_and_recall(a in "[ab c]{0,20}", b in "[ab c]{0,20}") {
            let (ab, ba) = (token_f1(&a, &b, Normalizer::Whitespace), token_f1(&b, &a, Normalizer::Whitespace));
            prop_assert_eq!(ab.precision.to_bits(), ba.recall.to_bits());
            prop_assert!((ab.f1 - ba.f1).abs() < 1e-12);
        }
    }
}
