//! Rotary tables by position, in the rotate-half convention of Hugging Face.

use crate::{
    ModelConfig,
    weights::{Llama3Scaling, RopeScaling, YarnScaling},
};

/// Returns cosine and sine for rotate-half, a row of the head's width per position. The first half of the sine row is
/// negated, so that `x * cos + swap_halves(x) * sin` is the rotation.
#[expect(clippy::cast_precision_loss, reason = "positions and head widths are far below 2^24")]
pub fn rope_tables(config: &ModelConfig, positions: &[usize]) -> (Vec<f32>, Vec<f32>) {
    let frequencies = frequencies(config);
    let warmth = match config.rope_scaling {
        Some(RopeScaling::Yarn(yarn)) => yarn.attention_factor,
        _ => 1.0,
    };
    let table = |value: f64| round(value) * warmth;
    let mut cos = Vec::with_capacity(positions.len() * config.head_dim);
    let mut sin = Vec::with_capacity(positions.len() * config.head_dim);
    for position in positions {
        let angles = frequencies.iter().map(|frequency| f64::from(*position as f32 * frequency));
        let (row_sin, row_cos): (Vec<f64>, Vec<f64>) = angles.map(f64::sin_cos).unzip();
        cos.extend(row_cos.iter().chain(&row_cos).map(|value| table(*value)));
        sin.extend(row_sin.iter().map(|value| table(-*value)).chain(row_sin.iter().map(|value| table(*value))));
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
    match config.rope_scaling {
        None | Some(RopeScaling::Dynamic { .. }) => plain.collect(),
        Some(RopeScaling::Linear { factor }) => plain.map(|frequency| frequency / factor).collect(),
        Some(RopeScaling::Llama3(scaling)) => plain.map(|frequency| llama3(&scaling, frequency)).collect(),
        Some(RopeScaling::Yarn(scaling)) => {
            let (low, high) = ramp(&scaling, config);
            let share = |pair: usize| ((pair as f32 - low) / (high - low)).clamp(0.0, 1.0);
            let blend =
                |(pair, frequency): (usize, f32)| frequency / scaling.factor * share(pair) + frequency * (1.0 - share(pair));
            plain.enumerate().map(blend).collect()
        }
    }
}

fn llama3(scaling: &Llama3Scaling, frequency: f32) -> f32 {
    let (low, high) = (scaling.low_freq_factor, scaling.high_freq_factor);
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
}

/// Returns the pairs between which `YaRN` goes from plain to stretched: those that turn so often over the old context.
#[expect(clippy::cast_precision_loss, reason = "head widths are far below 2^24")]
fn ramp(scaling: &YarnScaling, config: &ModelConfig) -> (f32, f32) {
    let width = config.head_dim as f64;
    let (old, base) = (f64::from(scaling.original_max_position_embeddings), f64::from(config.rope_theta));
    let pair = |turns: f32| width * (old / (f64::from(turns) * 2.0 * std::f64::consts::PI)).ln() / (2.0 * base.ln());
    let (low, high) = (pair(scaling.beta_fast), pair(scaling.beta_slow));
    let (low, high) = if scaling.truncate { (low.floor(), high.ceil()) } else { (low, high) };
    let (low, high) = (low.max(0.0), high.min(width - 1.0));
    let high = if (high - low).abs() < f64::EPSILON { high + 0.001 } else { high };
    (round(low), round(high))
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
        let scaling =
            Llama3Scaling { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 8192.0 };
        let plain = ModelConfig { head_dim: 64, rope_theta: 500_000.0, ..tiny() };
        let scaled = ModelConfig { rope_scaling: Some(RopeScaling::Llama3(scaling)), ..plain.clone() };
        let (before, after) = (frequencies(&plain), frequencies(&scaled));
        assert!((before[0] - after[0]).abs() < 1e-9);
        assert!((before[31] / 8.0 - after[31]).abs() < 1e-12);
        assert!(after.iter().zip(&before).all(|(after, before)| after <= before));
    }

    #[test]
    fn linear_scaling_divides_positions_and_dynamic_scaling_waits_for_longer_ones() {
        let with = |scaling| frequencies(&ModelConfig { rope_scaling: Some(scaling), ..tiny() });
        let plain = frequencies(&tiny());
        assert!(
            with(RopeScaling::Linear { factor: 4.0 })
                .iter()
                .zip(&plain)
                .all(|(ours, plain)| (ours * 4.0 - plain).abs() < f32::EPSILON)
        );
        assert_eq!(with(RopeScaling::Dynamic { factor: 4.0 }), plain);
    }

    #[test]
    fn yarn_keeps_fast_pairs_stretches_slow_ones_and_warms_attention() {
        let scaling = YarnScaling {
            factor: 4.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            original_max_position_embeddings: 4096.0,
            attention_factor: 1.5,
            truncate: true,
        };
        let plain = ModelConfig { head_dim: 64, ..tiny() };
        let config = ModelConfig { rope_scaling: Some(RopeScaling::Yarn(scaling)), ..plain.clone() };
        let (before, after) = (frequencies(&plain), frequencies(&config));
        assert!((before[0] - after[0]).abs() < 1e-9 && (before[31] / 4.0 - after[31]).abs() < 1e-12);
        let between = |pair: usize| after[pair] < before[pair] && after[pair] > before[pair] / 4.0;
        assert!((11..22).all(between), "the ramp goes from pair 10 to pair 23");
        let (cos, _) = rope_tables(&config, &[0]);
        assert!(cos.iter().all(|value| (*value - 1.5).abs() < 1e-6));
    }
}
