//! Rotary tables by position, in the rotate-half convention of Hugging Face.

use crate::ModelConfig;

/// Returns cosine and sine for rotate-half, a row of the head's width per position. The first half of the sine row is
/// negated, so that `x * cos + swap_halves(x) * sin` is the rotation.
#[expect(clippy::cast_precision_loss, reason = "positions and head widths are far below 2^24")]
pub fn rope_tables(config: &ModelConfig, positions: &[usize]) -> (Vec<f32>, Vec<f32>) {
    let frequencies = frequencies(config);
    let mut cos = Vec::with_capacity(positions.len() * config.head_dim);
    let mut sin = Vec::with_capacity(positions.len() * config.head_dim);
    for position in positions {
        let angles = frequencies.iter().map(|frequency| f64::from(*position as f32 * frequency));
        let (row_sin, row_cos): (Vec<f64>, Vec<f64>) = angles.map(f64::sin_cos).unzip();
        cos.extend(row_cos.iter().chain(&row_cos).map(|value| round(*value)));
        sin.extend(row_sin.iter().map(|value| round(-*value)).chain(row_sin.iter().map(|value| round(*value))));
    }
    (cos, sin)
}

#[expect(clippy::cast_possible_truncation, reason = "tables are kept in the precision of the network")]
fn round(value: f64) -> f32 {
    value as f32
}

/// Returns the rotary frequency of each pair, stretched as the configuration says.
#[expect(clippy::cast_precision_loss, reason = "head widths are far below 2^24")]
fn frequencies(config: &ModelConfig) -> Vec<f32> {
    let width = config.head_dim as f32;
    let plain = (0..config.head_dim / 2).map(|pair| 1.0 / config.rope_theta.powf(2.0 * pair as f32 / width));
    let Some(scaling) = config.rope_scaling else { return plain.collect() };
    let (low, high) = (scaling.low_freq_factor, scaling.high_freq_factor);
    let stretch = |frequency: f32| {
        let wavelength = 2.0 * std::f32::consts::PI / frequency;
        let turns = scaling.original_max_position_embeddings / wavelength;
        if turns < low {
            frequency / scaling.factor
        } else if turns > high {
            frequency
        } else {
            let smooth = (turns - low) / (high - low);
            (1.0 - smooth) * frequency / scaling.factor + smooth * frequency
        }
    };
    plain.map(stretch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::config::tests::tiny;

    #[test]
    fn rotation_keeps_length_and_position_zero() {
        let config = tiny();
        let (cos, sin) = rope_tables(&config, &[0, 3]);
        assert!(cos.iter().take(config.head_dim).all(|value| (*value - 1.0).abs() < 1e-7));
        assert!(sin.iter().take(config.head_dim).all(|value| value.abs() < 1e-7));
        // The second pair of head width 8 and base 10,000 turns by 3 * 10,000^(-2/8) = 0.3.
        assert!((cos[config.head_dim + 1] - 0.3_f32.cos()).abs() < 1e-6);
        assert!((sin[config.head_dim + 1] + 0.3_f32.sin()).abs() < 1e-6);
        assert!((sin[config.head_dim + 5] - 0.3_f32.sin()).abs() < 1e-6);
    }

    #[test]
    fn llama3_scaling_leaves_fast_pairs_and_slows_slow_ones() {
        let scaling = crate::weights::Llama3Scaling {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192.0,
        };
        let plain = ModelConfig { head_dim: 64, rope_theta: 500_000.0, ..tiny() };
        let scaled = ModelConfig { rope_scaling: Some(scaling), ..plain.clone() };
        let (before, after) = (frequencies(&plain), frequencies(&scaled));
        assert!((before[0] - after[0]).abs() < 1e-9);
        assert!((before[31] / 8.0 - after[31]).abs() < 1e-12);
        assert!(after.iter().zip(&before).all(|(after, before)| after <= before));
    }
}
