//! The activations of the feed-forward part, without branches, so that loops over them run in vectors.
#![expect(clippy::inline_always, reason = "the wide instructions of a caller reach only what is inlined into it")]

use pulp::Arch;

use super::attention::exp;

/// The gated activation, in place: `gate` becomes `silu(gate) * up`.
pub(super) fn swiglu(gate: &mut [f32], up: &[f32]) {
    Arch::new().dispatch(|| {
        for (gate, up) in gate.iter_mut().zip(up) {
            *gate = *gate / (1.0 + exp(-*gate)) * up;
        }
    });
}

/// The Gaussian activation, in place: every value times the share of a normal distribution that lies below it.
pub(super) fn gelu(values: &mut [f32]) {
    Arch::new().dispatch(|| {
        for value in values {
            let tail = tail(value.abs());
            *value *= if *value < 0.0 { tail } else { 1.0 - tail };
        }
    });
}

/// The logarithm of a normal distribution's upper tail beyond `x` in `0..=FAR`, negated: a fit by Chebyshev polynomials,
/// weighted so that the tail itself is right to 2e-9.
const LOG_TAIL: [f32; 11] = [
    std::f32::consts::LN_2,
    0.797_884_7,
    0.318_308_56,
    0.036_340_397,
    -0.004_789_826,
    -3.307_997_8e-5,
    2.171_200_3e-4,
    -6.231_175e-5,
    9.715_623e-6,
    -8.474_136e-7,
    3.221_26e-8,
];
/// Where the tail is below 1e-9, and the fit ends.
const FAR: f32 = 6.0;

/// The share of a normal distribution above `x`, which is not negative.
#[inline(always)]
fn tail(x: f32) -> f32 {
    let x = if x < FAR { x } else { FAR };
    let mut sum = 0.0;
    for coefficient in LOG_TAIL.iter().rev() {
        sum = sum * x + coefficient;
    }
    exp(-sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error function by its series, in double precision.
    fn erf(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    }

    #[test]
    fn the_gaussian_activation_is_close_everywhere() {
        for step in -400_i16..=400 {
            let x = f32::from(step) / 100.0;
            let mut value = [x];
            gelu(&mut value);
            let exact = f64::from(x) * 0.5 * (1.0 + erf(f64::from(x) / std::f64::consts::SQRT_2));
            assert!((f64::from(value[0]) - exact).abs() <= 1.5e-7 * f64::from(x.abs()).max(1.0), "{x}: {} {exact}", value[0]);
        }
        let mut far = [-1e9, -30.0, 30.0, 1e9];
        gelu(&mut far);
        assert!(far[1].abs() < 1e-6 && (far[2] - 30.0).abs() < f32::EPSILON && (far[3] - 1e9).abs() < 1.0);
        let mut none = [f32::NAN];
        gelu(&mut none);
        assert!(none[0].is_nan(), "what is not a number stays so");
    }
}
