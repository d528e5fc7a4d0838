//! Linear scales with round ticks.

use crate::report::number::{exponent, grouped};

/// Numbers larger than this are drawn as missing: their differences would overflow.
const LARGEST: f64 = 1e300;

/// Maps an interval of numbers to an interval of pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// A scale over the finite numbers of `values`, widened when they are all equal. `None` when there are none.
    pub(super) fn over(values: impl IntoIterator<Item = f64>, from: f64, to: f64) -> Option<Self> {
        let mut bounds: Option<(f64, f64)> = None;
        for value in values.into_iter().filter(|value| drawable(*value)) {
            let (low, high) = bounds.unwrap_or((value, value));
            bounds = Some((low.min(value), high.max(value)));
        }
        let (low, high) = bounds?;
        // Below this relative width neighbouring ticks would be one number.
        let narrow = (high - low) <= low.abs().max(high.abs()) * 1e-12;
        let pad = if !narrow {
            0.0
        } else if low == 0.0 {
            1.0
        } else {
            low.abs() * 0.1
        };
        Some(Self { low: low - pad, high: high + pad, from, to })
    }

    /// Widens the interval to the ticks around it.
    pub(super) fn rounded(mut self, count: u32) -> Self {
        let step = self.step(count);
        self.low = (self.low / step).floor() * step;
        self.high = (self.high / step).ceil() * step;
        self
    }

    /// The pixel of a number.
    pub(super) fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// The pixel of zero, or of the end nearest to it.
    pub(super) fn zero(&self) -> f64 {
        self.at(0.0_f64.clamp(self.low, self.high))
    }

    /// Round numbers across the interval, with their labels.
    pub(super) fn ticks(&self, count: u32) -> Vec<(f64, String)> {
        let step = self.step(count);
        let first = (self.low / step - 1e-9).ceil();
        (0..=2 * count)
            .map(|index| (first + f64::from(index)) * step)
            .take_while(|value| *value <= self.high + step * 1e-9)
            .map(|value| (value, label(value, step)))
            .collect()
    }

    fn step(&self, count: u32) -> f64 {
        let raw = (self.high - self.low) / f64::from(count.max(1));
        let unit = 10_f64.powi(exponent(raw));
        let factor = match raw / unit {
            f if f <= 1.0 => 1.0,
            f if f <= 2.0 => 2.0,
            f if f <= 5.0 => 5.0,
            _ => 10.0,
        };
        factor * unit
    }
}

/// Whether a number has a place on a scale.
pub(super) fn drawable(value: f64) -> bool {
    value.abs() <= LARGEST
}

fn label(value: f64, step: f64) -> String {
    let value = if value.abs() < step * 1e-6 { 0.0 } else { value };
    let magnitude = value.abs().max(step);
    if !(1e-4..1e9).contains(&magnitude) || step < 1e-6 {
        return format!("{value:.1e}");
    }
    let decimals = usize::try_from(-exponent(step)).unwrap_or(0);
    grouped(&format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64) -> Vec<String> {
        let scale = Scale::over([low, high], 0.0, 100.0).unwrap();
        scale.ticks(5).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(0.0, 10.0), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(labels(-0.03, 0.07), ["−0.02", "0.00", "0.02", "0.04", "0.06"]);
        assert_eq!(labels(0.0, 12_000.0), ["0", "5,000", "10,000"]);
    }

    #[test]
    fn equal_and_extreme_numbers_still_give_a_scale() {
        for (low, high) in [(0.0, 0.0), (3.0, 3.0), (-1e300, 1e300), (1e-300, 2e-300), (1e16, 1e16 + 2.0)] {
            let scale = Scale::over([low, high], 0.0, 100.0).unwrap().rounded(5);
            assert!(scale.at(low).is_finite() && scale.at(high).is_finite(), "{low} {high}");
            assert!(!scale.ticks(5).is_empty(), "{low} {high}");
        }
        assert!(Scale::over([f64::NAN, f64::INFINITY], 0.0, 1.0).is_none());
    }
}
