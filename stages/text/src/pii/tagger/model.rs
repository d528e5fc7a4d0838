//! The weights and the best path through them.

use thiserror::Error;

use super::{
    facts::{FEATURES, Sentence},
    labels::Label,
};

/// Places of a row of weights; labels fill all but the last.
pub(super) const LANES: usize = 16;
/// Rows of weights; features share them by hash.
pub(super) const ROWS: usize = 98_304;
/// What a forbidden step costs.
const FORBIDDEN: i32 = -1_000_000;
const MAGIC: &[u8; 8] = b"flowtag1";
/// One whole of the margin, in steps of a weight.
const UNIT: f64 = 127.0;

/// The weights of labels by feature and by step.
pub struct Model {
    rows: Vec<[i8; LANES]>,
    steps: [[i16; LANES]; LANES],
}

/// Why bytes are no model.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ModelError {
    /// They have another beginning or length.
    #[error("cannot read weights: the file is no model of this version")]
    Format,
}

impl Model {
    /// Weights as training left them.
    pub(super) fn new(rows: Vec<[i8; LANES]>, steps: &[[i16; LANES]; LANES]) -> Self {
        Self { rows, steps: *steps }
    }

    /// Reads a model.
    pub fn read(bytes: &[u8]) -> Result<Self, ModelError> {
        let rest =
            bytes.strip_prefix(MAGIC).filter(|rest| rest.len() == 2 * LANES * LANES + ROWS * LANES).ok_or(ModelError::Format)?;
        let (steps, rows) = rest.split_at(2 * LANES * LANES);
        let mut read = [[0_i16; LANES]; LANES];
        for (step, bytes) in read.iter_mut().flatten().zip(steps.as_chunks().0) {
            *step = i16::from_le_bytes(*bytes);
        }
        let rows = rows.as_chunks::<LANES>().0.iter().map(|row| row.map(u8::cast_signed)).collect();
        Ok(Self { rows, steps: read })
    }

    /// The model as bytes.
    pub fn write(&self) -> Vec<u8> {
        let steps = self.steps.iter().flatten().flat_map(|step| step.to_le_bytes());
        let rows = self.rows.iter().flatten().map(|weight| weight.cast_unsigned());
        MAGIC.iter().copied().chain(steps).chain(rows).collect()
    }

    /// The best label of every token, with its margin over the label `OUTSIDE`: from 0, none, towards 1.
    pub(super) fn label(&self, sentence: &Sentence) -> Vec<(Label, f64)> {
        let steps = self.steps.map(|row| row.map(i32::from));
        let path = Path::search(sentence.len(), &steps, |at| self.emissions(sentence.features(at)));
        path.into_iter().map(|(label, lead)| (label, 1.0 - (-f64::from(lead.max(0)) / UNIT).exp())).collect()
    }

    fn emissions(&self, features: [u32; FEATURES]) -> [i32; LANES] {
        let mut sum = [0_i16; LANES];
        for feature in features {
            if let Some(row) = self.rows.get(row_of(feature)) {
                for (total, weight) in sum.iter_mut().zip(row) {
                    *total += i16::from(*weight);
                }
            }
        }
        sum.map(i32::from)
    }
}

/// The row of a feature.
pub(super) fn row_of(feature: u32) -> usize {
    usize::try_from((u64::from(feature) * ROWS as u64) >> 32).unwrap_or_default()
}

/// A search for the best path of labels.
pub(super) struct Path;

impl Path {
    /// Returns the best path, and by how much each label leads over outside.
    pub(super) fn search(
        length: usize,
        steps: &[[i32; LANES]; LANES],
        mut emissions: impl FnMut(usize) -> [i32; LANES],
    ) -> Vec<(Label, i32)> {
        let allowed = allowed(steps);
        let mut back: Vec<[u8; LANES]> = Vec::with_capacity(length);
        let mut emitted: Vec<[i32; LANES]> = Vec::with_capacity(length);
        // Before the first token stands one that is outside.
        let mut scores = [FORBIDDEN; LANES];
        scores[0] = 0;
        for at in 0..length {
            let own = emissions(at);
            let mut best = [i32::MIN; LANES];
            let mut from = [0_u8; LANES];
            for (before, (score, step)) in (0_u8..).zip(scores.iter().zip(&allowed)) {
                for ((best, from), step) in best.iter_mut().zip(&mut from).zip(step) {
                    let candidate = score + step;
                    *from = if candidate > *best { before } else { *from };
                    *best = candidate.max(*best);
                }
            }
            scores = std::array::from_fn(|label| (best[label] + own[label]).max(2 * FORBIDDEN));
            back.push(from);
            emitted.push(own);
        }
        trace(scores, &back, &emitted)
    }
}

/// The weights of steps, with those that no sequence may take.
fn allowed(steps: &[[i32; LANES]; LANES]) -> [[i32; LANES]; LANES] {
    std::array::from_fn(|before| {
        std::array::from_fn(|label| {
            let known = before < Label::COUNT && label < Label::COUNT;
            let may = known && Label::at(label).may_follow(Label::at(before));
            if may { steps[before][label] } else { FORBIDDEN }
        })
    })
}

fn trace(scores: [i32; LANES], back: &[[u8; LANES]], emitted: &[[i32; LANES]]) -> Vec<(Label, i32)> {
    let mut label = (0..Label::COUNT).max_by_key(|label| (scores[*label], LANES - label)).unwrap_or_default();
    let mut path = Vec::with_capacity(back.len());
    for (from, own) in back.iter().zip(emitted).rev() {
        path.push((Label::at(label), own[label] - own[0]));
        label = usize::from(from[label]);
    }
    path.reverse();
    path
}
