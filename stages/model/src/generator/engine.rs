//! The network as decoding needs it: no graph, no padding, weights as stored. Every row is one token of one sequence, so
//! that prompts being read and answers being written share a pass.

use rayon::prelude::*;

use super::{
    attention::{Cache, swiglu},
    projection::Projection,
};
use crate::{
    Checkpoint, ModelConfig, ModelError, Target,
    adapter::StoredAdapter,
    network::rope_tables,
    weights::{Stored, names},
};

/// Rows below which another thread is not worth waking for.
const FEW_ROWS: usize = 16;

/// A network ready to decode.
pub(super) struct Engine {
    config: ModelConfig,
    embedding: Stored,
    blocks: Vec<Block>,
    norm: Vec<f32>,
    head: Projection,
    rope: (Vec<f32>, Vec<f32>),
}

struct Block {
    attention_norm: Vec<f32>,
    query_key_value: Projection,
    output: Projection,
    mlp_norm: Vec<f32>,
    gate_up: Projection,
    down: Projection,
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
        let block = |index: usize| {
            let join = |targets: &[Target]| Projection::of(checkpoint, adapter, index, targets);
            let norm = |name: &str| Ok::<_, ModelError>(checkpoint.tensor(&names::layer(index, name))?.to_f32());
            Ok(Block {
                attention_norm: norm(names::ATTENTION_NORM)?,
                query_key_value: join(&[Target::QProj, Target::KProj, Target::VProj])?,
                output: join(&[Target::OProj])?,
                mlp_norm: norm(names::MLP_NORM)?,
                gate_up: join(&[Target::GateProj, Target::UpProj])?,
                down: join(&[Target::DownProj])?,
            })
        };
        Ok(Self {
            embedding: checkpoint.tensor(names::EMBEDDING)?.clone(),
            blocks: (0..config.layers).map(block).collect::<Result<_, ModelError>>()?,
            norm: checkpoint.tensor(names::NORM)?.to_f32(),
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
            let input = normalized(&hidden, &block.attention_norm, self.config.norm_eps);
            let mixed = self.attend(index, &block.query_key_value.apply(&input), rows, caches);
            add_transposed(&mut hidden, &block.output.apply(&mixed), rows.len());
            let input = normalized(&hidden, &block.mlp_norm, self.config.norm_eps);
            let mut both = block.gate_up.apply(&input);
            let (gate, up) = both.split_at_mut(self.config.intermediate_size * rows.len());
            swiglu(gate, up);
            add_transposed(&mut hidden, &block.down.apply(&transposed(gate, rows.len())), rows.len());
        }
        for row in rows {
            caches[row.sequence].length = row.position + 1;
        }
        hidden
    }

    /// Returns logits `[vocabulary, rows]` of hidden states `[rows, hidden]`.
    pub(super) fn logits(&self, hidden: &[f32]) -> Vec<f32> {
        self.head.apply(&normalized(hidden, &self.norm, self.config.norm_eps))
    }

    /// Writes keys and values of `[query key value, rows]` and attends: `[rows, query width]`.
    fn attend(&self, layer: usize, projected: &[f32], rows: &[Row], caches: &mut [Cache]) -> Vec<f32> {
        let config = &self.config;
        let (query_width, kv_width, head) = (config.query_width(), config.kv_width(), config.head_dim);
        let mut joined = transposed(projected, rows.len());
        for (row, joined) in rows.iter().zip(joined.chunks_exact_mut(query_width + 2 * kv_width)) {
            let (query_key, value) = joined.split_at_mut(query_width + kv_width);
            self.rotate(row.position, query_key);
            let (query, key) = query_key.split_at_mut(query_width);
            let scale = scale(head);
            for number in query.iter_mut() {
                *number *= scale;
            }
            caches[row.sequence].write(layer, row.position, key, value);
        }
        let caches = &*caches;
        let group = config.heads / config.kv_heads * head;
        let mut mixed = vec![0.0; rows.len() * query_width];
        let one = |(index, out): (usize, &mut [f32])| {
            let (row, kv_head) = (index / config.kv_heads, index % config.kv_heads);
            let start = row * (query_width + 2 * kv_width) + kv_head * group;
            let row = rows[row];
            caches[row.sequence].attend(layer, kv_head, row.position + 1, &joined[start..start + group], out);
        };
        let positions: usize = rows.iter().map(|row| row.position + 1).sum();
        if positions * query_width < 1 << 16 {
            mixed.chunks_exact_mut(group).enumerate().for_each(one);
        } else {
            mixed.par_chunks_exact_mut(group).enumerate().for_each(one);
        }
        mixed
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

/// Divides every row by its root mean square and scales.
#[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
fn normalized(rows: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let mut out = rows.to_vec();
    for row in out.chunks_exact_mut(weight.len()) {
        let mut lanes = [0.0_f32; 16];
        let (whole, rest) = row.as_chunks::<16>();
        for chunk in whole {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                *lane += value * value;
            }
        }
        let sum = lanes.iter().sum::<f32>() + rest.iter().map(|value| value * value).sum::<f32>();
        let root = (sum / weight.len() as f32 + eps).sqrt();
        for (value, weight) in row.iter_mut().zip(weight) {
            *value = *value / root * weight;
        }
    }
    out
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
