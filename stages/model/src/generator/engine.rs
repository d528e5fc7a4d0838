//! The network as decoding needs it: no graph, no padding, weights as stored. Every row is one token of one sequence, so
//! that prompts being read and answers being written share a pass.

use rayon::prelude::*;

use super::{
    activation::{gelu, swiglu},
    attention::Cache,
    block::{Block, unfuse},
    norm::Norm,
    projection::Projection,
};
use crate::{Checkpoint, ModelConfig, ModelError, Wiring, adapter::StoredAdapter, network::rope_tables, weights::Stored};

/// Rows below which another thread is not worth waking for.
const FEW_ROWS: usize = 16;

/// A network ready to decode.
pub(super) struct Engine {
    config: ModelConfig,
    embedding: Stored,
    blocks: Vec<Block>,
    norm: Norm,
    head: Projection,
    rope: (Vec<f32>, Vec<f32>),
}

/// One token to run: which cache it belongs to, where it stands, and what it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) sequence: usize,
    pub(super) position: usize,
    pub(super) token: u32,
}

impl Engine {
    pub(super) fn new(checkpoint: &Checkpoint, adapter: Option<&StoredAdapter>) -> Result<Self, ModelError> {
        let config = checkpoint.config().clone();
        let block = |index: usize| Block::load(checkpoint, adapter, index);
        Ok(Self {
            embedding: checkpoint.tensor(config.family.embedding())?.clone(),
            blocks: (0..config.layers).map(block).collect::<Result<_, ModelError>>()?,
            norm: Norm::load(checkpoint, config.family.final_norm())?,
            head: Projection::plain(checkpoint.head()?.clone()),
            rope: (Vec::new(), Vec::new()),
            config,
        })
    }

    pub(super) fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Runs rows through every block, extends their caches, and returns hidden states `[rows, hidden]` before the final norm.
    /// Rows of one sequence come in order of position.
    pub(super) fn forward(&mut self, rows: &[Row], caches: &mut [Cache]) -> Vec<f32> {
        self.extend_rope(rows);
        let width = self.config.hidden_size;
        let mut hidden = vec![0.0; rows.len() * width];
        for (row, out) in rows.iter().zip(hidden.chunks_exact_mut(width)) {
            self.embedding.format().decode(self.embedding.row(row.token as usize), out);
        }
        for (index, block) in self.blocks.iter().enumerate() {
            let input = block.attention_norm.applied(&hidden);
            let mixed = self.attend(index, block, &input, (rows, caches));
            let mixed = block.output.apply(&mixed);
            // Side by side, the feed-forward part does not see what attention adds.
            let before = (self.config.wiring != Wiring::Sequential).then(|| hidden.clone());
            add_transposed(&mut hidden, &mixed, rows.len());
            let input = match &block.mlp_norm {
                Some(norm) => norm.applied(before.as_ref().unwrap_or(&hidden)),
                None => input,
            };
            let inner = self.activated(block.rise.apply(&input), rows.len());
            add_transposed(&mut hidden, &block.down.apply(&inner), rows.len());
        }
        for row in rows {
            caches[row.sequence].length = row.position + 1;
        }
        hidden
    }

    /// Returns logits `[vocabulary, rows]` of hidden states `[rows, hidden]`.
    pub(super) fn logits(&self, hidden: &[f32]) -> Vec<f32> {
        self.head.apply(&self.norm.applied(hidden))
    }

    /// Takes `[inner, rows]` of the rise, below that of the gate where there is one, through the activation: `[rows, inner]`.
    fn activated(&self, mut rise: Vec<f32>, rows: usize) -> Vec<f32> {
        if !self.config.family.gated() {
            gelu(&mut rise);
            return transposed(&rise, rows);
        }
        let (gate, up) = rise.split_at_mut(self.config.intermediate_size * rows);
        swiglu(gate, up);
        transposed(gate, rows)
    }

    /// Attends from `[rows, hidden]`: `[rows, query width]`.
    fn attend(&self, layer: usize, block: &Block, input: &[f32], (rows, caches): (&[Row], &mut [Cache])) -> Vec<f32> {
        let config = &self.config;
        let joined = self.project(layer, block, input, (rows, caches));
        let (query_width, width) = (config.query_width(), joined.len() / rows.len());
        let caches = &*caches;
        let group = config.heads / config.kv_heads * config.head_dim;
        let mut mixed = vec![0.0; rows.len() * query_width];
        let one = |(index, out): (usize, &mut [f32])| {
            let (row, kv_head) = (index / config.kv_heads, index % config.kv_heads);
            let start = row * width + kv_head * group;
            let row = rows[row];
            let first = config.window.map_or(0, |window| (row.position + 1).saturating_sub(window));
            caches[row.sequence].attend(layer, kv_head, first..row.position + 1, &joined[start..start + group], out);
        };
        let positions: usize = rows.iter().map(|row| row.position + 1).sum();
        if positions * query_width < 1 << 16 {
            mixed.chunks_exact_mut(group).enumerate().for_each(one);
        } else {
            mixed.par_chunks_exact_mut(group).enumerate().for_each(one);
        }
        mixed
    }

    /// Returns queries, ready for scores, before keys and values of each row, and writes those to the caches.
    fn project(&self, layer: usize, block: &Block, input: &[f32], (rows, caches): (&[Row], &mut [Cache])) -> Vec<f32> {
        let config = &self.config;
        let (query_width, kv_width) = (config.query_width(), config.kv_width());
        let scale = scale(config.head_dim);
        let (mut joined, mut scratch) = (transposed(&block.inputs.apply(input), rows.len()), Vec::new());
        for (row, joined) in rows.iter().zip(joined.chunks_exact_mut(query_width + 2 * kv_width)) {
            if config.family.fused() {
                unfuse(joined, config, &mut scratch);
            }
            let (query_key, value) = joined.split_at_mut(query_width + kv_width);
            if let Some([of_query, of_key]) = &block.head_norms {
                let (query, key) = query_key.split_at_mut(query_width);
                of_query.apply(query);
                of_key.apply(key);
            }
            self.rotate(row.position, query_key);
            let (query, key) = query_key.split_at_mut(query_width);
            for number in query.iter_mut() {
                *number *= scale;
            }
            caches[row.sequence].write(layer, row.position, key, value);
        }
        joined
    }

    /// Rotates every head of a row.
    fn rotate(&self, position: usize, heads: &mut [f32]) {
        let width = self.config.head_dim;
        let (cos, sin) = (&self.rope.0[position * width..][..width], &self.rope.1[position * width..][..width]);
        for head in heads.chunks_exact_mut(width) {
            let (first, second) = head.split_at_mut(width / 2);
            for (index, (a, b)) in first.iter_mut().zip(second).enumerate() {
                let (left, right) = (*a, *b);
                *a = left * cos[index] + right * sin[index];
                *b = right * cos[index + width / 2] + left * sin[index + width / 2];
            }
        }
    }

    /// Makes the rotary tables reach the last position of these rows.
    fn extend_rope(&mut self, rows: &[Row]) {
        let known = self.rope.0.len() / self.config.head_dim;
        let needed = rows.iter().map(|row| row.position + 1).max().unwrap_or(0);
        if needed > known {
            let positions: Vec<usize> = (known..needed.next_multiple_of(256)).collect();
            let (cos, sin) = rope_tables(&self.config, &positions);
            self.rope.0.extend(cos);
            self.rope.1.extend(sin);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "head widths are far below 2^24")]
fn scale(head_dim: usize) -> f32 {
    1.0 / (head_dim as f32).sqrt()
}

/// Turns `[columns, rows]` into `[rows, columns]`.
fn transposed(values: &[f32], rows: usize) -> Vec<f32> {
    if rows == 1 {
        return values.to_vec();
    }
    let mut out = vec![0.0; values.len()];
    each_row(&mut out, values, rows, |slot, value| *slot = value);
    out
}

/// Adds `[columns, rows]` to `[rows, columns]`.
fn add_transposed(hidden: &mut [f32], values: &[f32], rows: usize) {
    each_row(hidden, values, rows, |slot, value| *slot += value);
}

fn each_row(out: &mut [f32], values: &[f32], rows: usize, change: impl Fn(&mut f32, f32) + Sync) {
    let columns = out.len() / rows;
    // A few rows at a time, so that every cache line of the source is used whole.
    let several = |(index, out): (usize, &mut [f32])| {
        for column in 0..columns {
            let source = &values[column * rows + index * FEW_ROWS..];
            for (row, value) in source.iter().take(out.len() / columns).enumerate() {
                change(&mut out[row * columns + column], *value);
            }
        }
    };
    if rows <= FEW_ROWS {
        several((0, out));
    } else {
        out.par_chunks_mut(FEW_ROWS * columns).enumerate().for_each(several);
    }
}
