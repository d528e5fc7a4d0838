//! ROUGE-1, ROUGE-2, ROUGE-L, and ROUGE-Lsum as the Python package `rouge-score` 0.1.2 computes them without a stemmer.
//!
//! The measure was made for English: whatever is not an ASCII letter or digit is a space to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::Hash,
};

use serde::{Deserialize, Serialize};

/// How much of two sequences is common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Overlap {
    /// Common part of the prediction.
    pub precision: f64,
    /// Common part of the reference.
    pub recall: f64,
    /// Harmonic mean of both.
    pub f1: f64,
}

/// The four scores of one prediction, as fractions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rouge {
    /// Single words.
    pub rouge1: Overlap,
    /// Pairs of neighbours.
    pub rouge2: Overlap,
    /// Longest common subsequence of the whole texts.
    pub rouge_l: Overlap,
    /// Union of longest common subsequences, line by line.
    pub rouge_lsum: Overlap,
}

impl Overlap {
    /// The overlap of `common` units among so many predicted and expected ones.
    pub(super) fn of(common: usize, predicted: usize, expected: usize) -> Self {
        let share = |whole: usize| ratio(common, whole.max(1));
        let (precision, recall) = (share(predicted), share(expected));
        let sum = precision + recall;
        let f1 = if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 };
        Self { precision, recall, f1 }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of words are far below 2^53")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

/// Scores a prediction against a reference.
pub fn rouge(prediction: &str, reference: &str) -> Rouge {
    let (predicted, expected) = (tokenize(prediction), tokenize(reference));
    let common = lcs_table(&expected, &predicted).last().and_then(|row| row.last()).copied().unwrap_or(0);
    Rouge {
        rouge1: ngram_overlap(&predicted, &expected, 1),
        rouge2: ngram_overlap(&predicted, &expected, 2),
        rouge_l: Overlap::of(common, predicted.len(), expected.len()),
        rouge_lsum: summary_overlap(&lines(prediction), &lines(reference)),
    }
}

fn tokenize(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit());
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn lines(text: &str) -> Vec<Vec<String>> {
    text.split('\n').filter(|line| !line.is_empty()).map(tokenize).collect()
}

fn ngram_overlap(predicted: &[String], expected: &[String], n: usize) -> Overlap {
    let (ours, theirs) = (counts(predicted.windows(n)), counts(expected.windows(n)));
    let common = theirs.iter().map(|(ngram, count)| ours.get(ngram).map_or(0, |other| *count.min(other))).sum();
    Overlap::of(common, ours.values().sum(), theirs.values().sum())
}

fn counts<T: Ord + Hash>(items: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}

/// Lengths of the longest common subsequences of all pairs of prefixes.
fn lcs_table(expected: &[String], predicted: &[String]) -> Vec<Vec<usize>> {
    let mut table = vec![vec![0; predicted.len() + 1]];
    for word in expected {
        let above = table.last().map_or(&[][..], Vec::as_slice);
        let mut row = vec![0];
        for (pair, other) in above.windows(2).zip(predicted) {
            let left = row.last().copied().unwrap_or(0);
            row.push(match pair {
                [diagonal, _] if word == other => diagonal + 1,
                [_, up] => left.max(*up),
                _ => left,
            });
        }
        table.push(row);
    }
    table
}

/// Places in `expected` of one longest common subsequence; which one decides over ROUGE-Lsum where there are several.
fn lcs_places(expected: &[String], predicted: &[String]) -> Vec<usize> {
    let table = lcs_table(expected, predicted);
    let at = |i: usize, j: usize| table.get(i).and_then(|row| row.get(j)).copied().unwrap_or(0);
    let (mut i, mut j) = (expected.len(), predicted.len());
    let mut places = Vec::new();
    while i > 0 && j > 0 {
        if expected.get(i - 1) == predicted.get(j - 1) {
            places.push(i - 1);
            i -= 1;
            j -= 1;
        } else if at(i, j - 1) > at(i - 1, j) {
            j -= 1;
        } else {
            i -= 1;
        }
    }
    places
}

/// Every line of the reference may use words of all lines of the prediction, each word as often as both texts have it.
fn summary_overlap(predicted: &[Vec<String>], expected: &[Vec<String>]) -> Overlap {
    let mut ours = counts(predicted.iter().flatten());
    let mut theirs = counts(expected.iter().flatten());
    let (predicted_words, expected_words) = (ours.values().sum(), theirs.values().sum());
    let mut hits = 0;
    for line in expected {
        let places: BTreeSet<usize> = predicted.iter().flat_map(|other| lcs_places(line, other)).collect();
        for word in places.into_iter().filter_map(|place| line.get(place)) {
            if let (Some(our), Some(their)) = (ours.get_mut(word), theirs.get_mut(word))
                && *our > 0
                && *their > 0
            {
                *our -= 1;
                *their -= 1;
                hits += 1;
            }
        }
    }
    Overlap::of(hits, predicted_words, expected_words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Texts with precision, recall, and F1 of the four scores as the Python package `rouge-score` 0.1.2 prints them.
    #[derive(Deserialize)]
    struct Case {
        prediction: String,
        reference: String,
        scores: [[String; 3]; 4],
    }

    fn flat(rouge: &Rouge) -> [[f64; 3]; 4] {
        let row = |overlap: Overlap| [overlap.precision, overlap.recall, overlap.f1];
        [row(rouge.rouge1), row(rouge.rouge2), row(rouge.rouge_l), row(rouge.rouge_lsum)]
    }

    #[test]
    fn scores_equal_those_of_the_python_package() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("rouge_cases.json")).expect("the cases are JSON");
        assert_eq!(cases.len(), 60);
        for case in cases {
            let expected = case.scores.map(|row| row.map(|score| score.parse::<f64>().expect("a number").to_bits()));
            let found = flat(&rouge(&case.prediction, &case.reference)).map(|row| row.map(f64::to_bits));
            assert_eq!(found, expected, "{:?} against {:?}", case.prediction, case.reference);
        }
    }

    #[test]
    fn a_hand_computed_case() {
        // Common words: the, sat; of three predicted and four expected. Common pairs: none.
        let found = rouge("The dog sat", "the cat, it sat");
        let f1 = 2.0 * (2.0 / 3.0) * 0.5 / (2.0 / 3.0 + 0.5);
        assert_eq!(found.rouge1, Overlap { precision: 2.0 / 3.0, recall: 0.5, f1 });
        assert_eq!(found.rouge2, Overlap::default());
        assert_eq!(found.rouge_l, found.rouge1);
    }

    proptest! {
        #[test]
        fn a_text_agrees_with_itself(text in "[a-c \n.]{0,40}") {
            let words = tokenize(&text).len();
            let found = rouge(&text, &text);
            let whole = if words > 0 { 1.0 } else { 0.0 };
            prop_assert_eq!(found.rouge1.f1.to_bits(), f64::to_bits(whole));
            prop_assert_eq!(found.rouge_l.f1.to_bits(), f64::to_bits(whole));
            prop_assert_eq!(found.rouge_lsum.f1.to_bits(), f64::to_bits(whole));
        }

        #[test]
        fn a_subsequence_has_no_more_than_the_single_words(a in "[a-c \n]{0,30}", b in "[a-c \n]{0,30}") {
            let found = rouge(&a, &b);
            prop_assert!(found.rouge_l.recall <= found.rouge1.recall + 1e-12);
            prop_assert!(found.rouge_lsum.recall <= found.rouge1.recall + 1e-12);
            let places = lcs_places(&tokenize(&b), &tokenize(&a));
            let table = lcs_table(&tokenize(&b), &tokenize(&a));
            prop_assert_eq!(Some(&places.len()), table.last().and_then(|row| row.last()));
        }
    }
}
