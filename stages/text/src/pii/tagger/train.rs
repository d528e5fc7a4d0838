//! Learns the weights: a structured perceptron, averaged over all its steps.

use super::{
    facts::Sentence,
    labels::Label,
    model::{LANES, Model, Path, ROWS, row_of},
    tokens::tokens,
};

/// A text with the label of each of its tokens.
pub struct Example {
    sentence: Sentence,
    labels: Vec<Label>,
}

impl Example {
    /// Pairs a text with labels; `None` when there is not one for each token.
    pub fn new(text: &str, labels: Vec<Label>) -> Option<Self> {
        let tokens = tokens(text);
        (tokens.len() == labels.len()).then(|| Self { sentence: Sentence::of(text, &tokens), labels })
    }
}

/// Weights while they are learned. Whole numbers: the same on every machine.
pub struct Training {
    weights: Vec<[i32; LANES]>,
    sums: Vec<[i64; LANES]>,
    steps: [[i32; LANES]; LANES],
    step_sums: [[i64; LANES]; LANES],
    clock: i64,
    errors: u64,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            weights: vec![[0; LANES]; ROWS],
            sums: vec![[0; LANES]; ROWS],
            steps: [[0; LANES]; LANES],
            step_sums: [[0; LANES]; LANES],
            clock: 1,
            errors: 0,
        }
    }
}

impl Training {
    /// Labels an example and moves the weights where that went wrong.
    pub fn learn(&mut self, example: &Example) {
        let weights = &self.weights;
        let path = Path::search(example.sentence.len(), &self.steps, |at| {
            let mut sum = [0; LANES];
            for feature in example.sentence.features(at) {
                if let Some(row) = weights.get(row_of(feature)) {
                    sum.iter_mut().zip(row).for_each(|(total, weight)| *total += weight);
                }
            }
            sum
        });
        let (mut wanted, mut guessed) = (Label::OUTSIDE, Label::OUTSIDE);
        for (at, (label, (guess, _))) in example.labels.iter().zip(path).enumerate() {
            if (wanted, *label) != (guessed, guess) {
                self.step(wanted, *label, 1);
                self.step(guessed, guess, -1);
            }
            if *label != guess {
                self.errors += 1;
                self.emission(&example.sentence, at, (*label, guess));
            }
            (wanted, guessed) = (*label, guess);
        }
        self.clock += 1;
    }

    fn step(&mut self, before: Label, label: Label, by: i32) {
        self.steps[before.place()][label.place()] += by;
        self.step_sums[before.place()][label.place()] += self.clock * i64::from(by);
    }

    fn emission(&mut self, sentence: &Sentence, at: usize, (wanted, guess): (Label, Label)) {
        for feature in sentence.features(at) {
            let row = row_of(feature);
            for (label, by) in [(wanted, 1), (guess, -1)] {
                self.weights[row][label.place()] += by;
                self.sums[row][label.place()] += self.clock * i64::from(by);
            }
        }
    }

    /// Labels that were wrong since this was last asked.
    pub fn take_errors(&mut self) -> u64 {
        std::mem::take(&mut self.errors)
    }

    /// The averaged weights, in steps that fit a byte.
    pub fn finish(&self) -> Model {
        let averaged = |weight: i32, sum: i64| as_f64(i64::from(weight)) - as_f64(sum) / as_f64(self.clock);
        let rows: Vec<[f64; LANES]> = self
            .weights
            .iter()
            .zip(&self.sums)
            .map(|(weights, sums)| std::array::from_fn(|label| averaged(weights[label], sums[label])))
            .collect();
        let mut sizes: Vec<f64> = rows.iter().flatten().map(|weight| weight.abs()).filter(|size| *size > 0.0).collect();
        sizes.sort_by(f64::total_cmp);
        // A few weights in ten thousand are cut so that the others keep their differences.
        let most = sizes.get(sizes.len().saturating_sub(1 + sizes.len() / 2_000)).copied().unwrap_or(1.0);
        let scale = f64::from(i8::MAX) / most;
        let steps: [[i16; LANES]; LANES] = std::array::from_fn(|before| {
            std::array::from_fn(|label| as_i16(averaged(self.steps[before][label], self.step_sums[before][label]) * scale))
        });
        Model::new(rows.into_iter().map(|row| row.map(|weight| as_i8(weight * scale))).collect(), &steps)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of training steps are far below 2^52")]
fn as_f64(count: i64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, reason = "the value is clamped to the range first")]
fn as_i8(value: f64) -> i8 {
    value.round().clamp(-127.0, 127.0) as i8
}

#[expect(clippy::cast_possible_truncation, reason = "the value is clamped to the range first")]
fn as_i16(value: f64) -> i16 {
    value.round().clamp(-32_767.0, 32_767.0) as i16
}
