//! What work will cost, from what such work cost before.

use serde::Serialize;

/// What one piece of work took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
    /// Rows it read, where that is known.
    pub(crate) rows: Option<f64>,
}

/// What work will cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Wall time.
    pub seconds: Range,
    /// Size of its outputs.
    pub bytes: Range,
    /// How many earlier pieces of work it rests on.
    pub samples: usize,
    /// Which ones.
    pub basis: Basis,
    /// The number of rows that earlier times were scaled to.
    pub rows: Option<f64>,
}

/// Least, middle, and most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Range {
    /// The least that was seen.
    pub low: f64,
    /// The middle of what was seen.
    pub median: f64,
    /// The most that was seen.
    pub high: f64,
}

/// What an estimate rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Earlier work of the same stage.
    Stage,
    /// Earlier work of other stages of its kind.
    Kind,
}

impl Range {
    /// The range of some values; none when there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = *sorted.get((sorted.len() - 1) / 2)?;
        Some(Self { low, median: f64::midpoint(lower, upper), high })
    }

    /// Both, one after the other.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { low: self.low + other.low, median: self.median + other.median, high: self.high + other.high }
    }
}

impl Estimate {
    pub(crate) fn of(samples: &[Sample], rows: Option<f64>, basis: Basis) -> Option<Self> {
        let scalable = rows.is_some() && samples.iter().all(|sample| sample.rows.is_some());
        let scale = |sample: &Sample| match (rows, sample.rows) {
            (Some(now), Some(then)) if scalable => now / then,
            _ => 1.0,
        };
        #[expect(clippy::cast_precision_loss, reason = "an estimate of sizes needs no last digit")]
        let bytes = Range::of(samples.iter().map(|sample| sample.bytes as f64 * scale(sample)))?;
        let seconds = Range::of(samples.iter().map(|sample| sample.seconds * scale(sample)))?;
        Some(Self { seconds, bytes, samples: samples.len(), basis, rows: rows.filter(|_| scalable) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seconds: f64, rows: Option<f64>) -> Sample {
        Sample { seconds, bytes: 100, rows }
    }

    #[test]
    fn a_range_has_its_middle_between_its_ends() {
        assert_eq!(Range::of([4.0, 1.0, 2.0]), Some(Range { low: 1.0, median: 2.0, high: 4.0 }));
        assert_eq!(Range::of([1.0, 2.0]), Some(Range { low: 1.0, median: 1.5, high: 2.0 }));
        assert_eq!(Range::of([f64::NAN]), None);
    }

    #[test]
    fn times_grow_with_the_rows_when_every_sample_knows_them() {
        let known = [sample(10.0, Some(100.0)), sample(40.0, Some(200.0))];
        let scaled = Estimate::of(&known, Some(200.0), Basis::Stage).unwrap();
        assert_eq!(scaled.seconds, Range { low: 20.0, median: 30.0, high: 40.0 });
        let unknown = [sample(10.0, Some(100.0)), sample(40.0, None)];
        let plain = Estimate::of(&unknown, Some(200.0), Basis::Stage).unwrap();
        assert_eq!((plain.seconds.low, plain.seconds.high, plain.rows), (10.0, 40.0, None));
        assert_eq!(Estimate::of(&[], Some(1.0), Basis::Kind), None);
    }
}
