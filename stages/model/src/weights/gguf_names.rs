//! Gives the tensors of a GGUF file their Hugging Face names and undoes what its writer did to them.

use std::collections::BTreeMap;

use super::{Stored, names};
use crate::{ModelConfig, ModelError, gguf::Gguf};

/// Returns all tensors under their Hugging Face names; a tensor without one keeps its own, and checking will name it.
pub(super) fn rename(gguf: &Gguf, config: &ModelConfig) -> Result<BTreeMap<String, Stored>, ModelError> {
    let mut tensors = BTreeMap::new();
    for own in gguf.tensor_names() {
        let Some(stored) = gguf.stored(own) else { continue };
        let heads = match own.rsplit_once("attn_") {
            Some((_, "q.weight")) => Some(config.heads),
            Some((_, "k.weight")) => Some(config.kv_heads),
            _ => None,
        };
        let stored = match heads {
            Some(heads) => unpermuted(&stored, heads)
                .ok_or_else(|| ModelError::format(gguf.path(), format!("tensor {own} does not split into {heads} heads")))?,
            None => stored,
        };
        tensors.insert(hf_name(config, own).unwrap_or_else(|| own.to_owned()), stored);
    }
    Ok(tensors)
}

fn hf_name(config: &ModelConfig, own: &str) -> Option<String> {
    Some(match own {
        "token_embd.weight" => config.family.embedding().to_owned(),
        "output_norm.weight" => format!("{}.weight", config.family.final_norm()),
        "output.weight" => names::HEAD.to_owned(),
        _ => return block_name(config, own),
    })
}

fn block_name(config: &ModelConfig, own: &str) -> Option<String> {
    let (index, part) = own.strip_prefix("blk.")?.split_once('.')?;
    let index: usize = index.parse().ok()?;
    let name = match part.strip_suffix(".weight")? {
        "attn_norm" => "input_layernorm.weight",
        "ffn_norm" => "post_attention_layernorm.weight",
        "attn_q" => "self_attn.q_proj.weight",
        "attn_k" => "self_attn.k_proj.weight",
        "attn_v" => "self_attn.v_proj.weight",
        "attn_output" => "self_attn.o_proj.weight",
        "ffn_gate" => "mlp.gate_proj.weight",
        "ffn_up" => "mlp.up_proj.weight",
        "ffn_down" => "mlp.down_proj.weight",
        _ => return None,
    };
    Some(names::layer(config, index, name))
}

/// Undoes the interleaving of query and key rows: the file pairs neighbours for its rotation, rotate-half pairs halves.
fn unpermuted(stored: &Stored, heads: usize) -> Option<Stored> {
    let rows = stored.rows();
    let width = rows.checked_div(heads)?;
    if width == 0 || !width.is_multiple_of(2) || width * heads != rows {
        return None;
    }
    let order = (0..rows).map(|row| {
        let (head, within) = (row / width, row % width);
        let (half, pair) = (within / (width / 2), within % (width / 2));
        head * width + 2 * pair + half
    });
    stored.gather(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{Bytes, Format, config::tests::tiny};

    #[test]
    fn neighbours_become_halves() {
        // Two heads of width four, one column: the file's rows 0..8 hold their own numbers.
        let bytes = (0_u8..8).flat_map(|row| f32::from(row).to_le_bytes()).collect();
        let stored = Stored::new(Format::F32, [8, 1], Bytes::owned(bytes));
        let undone = unpermuted(&stored, 2).expect("two heads").to_f32();
        assert_eq!(undone, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
        assert!(unpermuted(&stored, 3).is_none());
    }

    #[test]
    fn block_tensors_are_renamed() {
        let hf_name = |own| hf_name(&tiny(), own);
        assert_eq!(hf_name("blk.11.ffn_down.weight").as_deref(), Some("model.layers.11.mlp.down_proj.weight"));
        assert_eq!(hf_name("blk.x.ffn_down.weight"), None);
        assert_eq!(hf_name("blk.1.attn_q.bias"), None);
    }
}
