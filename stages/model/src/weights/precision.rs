//! The number formats that models are written in.

use half::{bf16, f16};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Sixteen bits with the range of single precision: what most models are published in.
    #[default]
    Bf16,
    /// Sixteen bits with more digits and a smaller range.
    F16,
    /// Single precision: twice as large, nothing is rounded.
    F32,
}

impl Precision {
    /// Its name in safetensors files.
    pub(super) fn in_safetensors(self) -> &'static str {
        match self {
            Self::Bf16 => "BF16",
            Self::F16 => "F16",
            Self::F32 => "F32",
        }
    }

    /// Its name in `config.json`.
    pub(crate) fn in_config(self) -> &'static str {
        match self {
            Self::Bf16 => "bfloat16",
            Self::F16 => "float16",
            Self::F32 => "float32",
        }
    }

    /// Bytes of a number.
    pub(super) fn bytes(self) -> u64 {
        match self {
            Self::Bf16 | Self::F16 => 2,
            Self::F32 => 4,
        }
    }

    /// Rounds numbers to it, to even where two are as near.
    pub(super) fn encode(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::Bf16 => values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect(),
            Self::F16 => values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect(),
            Self::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }
}
