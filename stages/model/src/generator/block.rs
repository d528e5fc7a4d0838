//! One block as decoding needs it.

use super::{norm::Norm, projection::Projection};
use crate::{
    Checkpoint, ModelConfig, ModelError, Target,
    adapter::StoredAdapter,
    weights::names::{self, HEAD_NORMS},
};

/// The weights of a block.
pub(super) struct Block {
    pub(super) attention_norm: Norm,
    pub(super) inputs: Projection,
    pub(super) head_norms: Option<[Norm; 2]>,
    pub(super) output: Projection,
    /// Without one the feed-forward part reads what attention reads.
    pub(super) mlp_norm: Option<Norm>,
    /// The gate above the rise where there is a gate.
    pub(super) rise: Projection,
    pub(super) down: Projection,
}

impl Block {
    /// Reads block `index`, with the pairs of an adapter.
    pub(super) fn load(checkpoint: &Checkpoint, adapter: Option<&StoredAdapter>, index: usize) -> Result<Self, ModelError> {
        let config = checkpoint.config();
        let join = |targets: &[Target]| Projection::of(checkpoint, adapter, index, targets);
        let norm = |name: &str| Norm::load(checkpoint, &names::layer(config, index, name));
        let (first, second) = config.wiring.norms();
        let head_norms = || {
            let [query, key] = HEAD_NORMS.map(norm);
            Ok::<_, ModelError>([query?, key?])
        };
        let parts = Parts::of(config);
        Ok(Self {
            attention_norm: norm(first)?,
            inputs: join(parts.inputs)?,
            head_norms: config.family.head_norms().then(head_norms).transpose()?,
            output: join(parts.output)?,
            mlp_norm: second.map(norm).transpose()?,
            rise: join(parts.rise)?,
            down: join(parts.down)?,
        })
    }
}

/// Which projections of a family share an input.
struct Parts {
    inputs: &'static [Target],
    output: &'static [Target],
    rise: &'static [Target],
    down: &'static [Target],
}

impl Parts {
    fn of(config: &ModelConfig) -> Self {
        let (inputs, output): (&[Target], &[Target]) = if config.family.fused() {
            (&[Target::QueryKeyValue], &[Target::Dense])
        } else {
            (&[Target::QProj, Target::KProj, Target::VProj], &[Target::OProj])
        };
        let (rise, down): (&[Target], &[Target]) = if config.family.gated() {
            (&[Target::GateProj, Target::UpProj], &[Target::DownProj])
        } else {
            (&[Target::DenseHTo4h], &[Target::Dense4hToH])
        };
        Self { inputs, output, rise, down }
    }
}

/// Lays the outputs of a fused projection, which come key head by key head, as all queries, all keys, all values.
pub(super) fn unfuse(row: &mut [f32], config: &ModelConfig, scratch: &mut Vec<f32>) {
    let head = config.head_dim;
    let group = config.heads / config.kv_heads * head;
    scratch.clear();
    scratch.extend_from_slice(row);
    let (queries, rest) = row.split_at_mut(config.query_width());
    let (keys, values) = rest.split_at_mut(config.kv_width());
    for (index, source) in scratch.chunks_exact(group + 2 * head).enumerate() {
        let (query, pair) = source.split_at(group);
        let (key, value) = pair.split_at(head);
        queries[index * group..][..group].copy_from_slice(query);
        keys[index * head..][..head].copy_from_slice(key);
        values[index * head..][..head].copy_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Family;

    #[test]
    fn groups_are_taken_apart() {
        let config = ModelConfig { heads: 4, kv_heads: 2, head_dim: 2, hidden_size: 8, ..ModelConfig::tiny(Family::Falcon) };
        let mut row: Vec<f32> = (0_u8..16).map(f32::from).collect();
        unfuse(&mut row, &config, &mut Vec::new());
        let want = [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15_u8].map(f32::from);
        assert_eq!(row, want);
    }
}
