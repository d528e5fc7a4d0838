//! Untrained models: small ones stand in for real ones in tests and demonstrations.

use std::collections::BTreeMap;

use super::{
    Bytes, Checkpoint, Format, Source, Stored,
    names::{self, Kind, Spec},
};
use crate::{ModelConfig, rng::Rng};

/// Widths shrink variance, so that activations of any shape stay near one.
const GAIN: f32 = 1.7;

impl Checkpoint {
    /// Makes a model with random weights; the same seed gives the same weights anywhere.
    #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
    pub fn random(config: &ModelConfig, seed: u64) -> Self {
        let tensor = |Spec { name, shape, kind }: Spec| {
            let mut rng = Rng::named(seed, &name);
            let bound = GAIN / (shape[1] as f32).sqrt();
            let centre = if kind == Kind::Scale { 1.0 } else { 0.0 };
            let values = (0..shape[0] * shape[1]).flat_map(|_| (centre + rng.symmetric(bound)).to_le_bytes());
            let stored = Stored::new(Format::F32, shape, Bytes::owned(values.collect()));
            (name, stored)
        };
        let tensors = names::all(config).into_iter().map(tensor).collect();
        Self { path: "random".into(), config: config.clone(), tensors, files: BTreeMap::new(), source: Source::Folder }
    }
}
