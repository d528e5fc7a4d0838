//! How far rows drifted from those of a baseline: the population stability index of lengths, sources, and values of fields.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::column;
use crate::record::Record;

/// Values of a field that are told apart; a field with more is text and no category.
const MOST_VALUES: usize = 50;
/// Characters of a value that is counted.
const MOST_CHARACTERS: usize = 80;
/// A share that stands for none, so that its logarithm exists.
const LEAST: f64 = 1e-4;

/// Counts of rows by what they look like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    rows: u64,
    /// By column, then by value or by power of two of the length.
    columns: BTreeMap<String, BTreeMap<String, u64>>,
}

/// How far one column drifted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Drift {
    /// The column.
    pub column: String,
    /// The population stability index: below 0.1 nothing to see, above 0.25 another population.
    pub psi: f64,
}

impl Profile {
    /// Counts a row.
    pub fn count(&mut self, record: &Record) {
        self.rows += 1;
        for name in ["prompt", "answer"] {
            let length = column(record, name).as_str().map_or(0, |text| text.chars().count());
            self.add(format!("length of {name}"), format!("{:02}", usize::BITS - length.leading_zeros()));
        }
        self.add("source".to_owned(), record.source.clone());
        for (name, value) in record.meta.iter().filter(|(name, _)| !name.starts_with('_')) {
            let shown = match value {
                Value::String(text) if text.len() <= MOST_CHARACTERS => text.clone(),
                Value::Bool(_) | Value::Null => value.to_string(),
                Value::String(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => continue,
            };
            self.add(name.clone(), shown);
        }
    }

    fn add(&mut self, column: String, value: String) {
        let counts = self.columns.entry(column).or_default();
        // One more than is told apart marks a column as text.
        if counts.len() <= MOST_VALUES || counts.contains_key(&value) {
            *counts.entry(value).or_default() += 1;
        }
    }

    /// How far these rows drifted from a baseline, the farthest first. Columns of text are left out.
    pub fn drift_from(&self, baseline: &Self) -> Vec<Drift> {
        let mut drifts: Vec<Drift> = self
            .columns
            .iter()
            .filter_map(|(name, counts)| {
                let before = baseline.columns.get(name)?;
                let is_category = counts.len() <= MOST_VALUES && before.len() <= MOST_VALUES;
                is_category.then(|| Drift { column: name.clone(), psi: psi((counts, self.rows), (before, baseline.rows)) })
            })
            .collect();
        drifts.sort_by(|a, b| b.psi.total_cmp(&a.psi).then_with(|| a.column.cmp(&b.column)));
        drifts
    }
}

fn psi((now, rows): (&BTreeMap<String, u64>, u64), (before, rows_before): (&BTreeMap<String, u64>, u64)) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^52")]
    let share = |counts: &BTreeMap<String, u64>, value: &String, rows: u64| {
        (counts.get(value).copied().unwrap_or(0) as f64 / rows.max(1) as f64).max(LEAST)
    };
    let values = now.keys().chain(before.keys().filter(|value| !now.contains_key(*value)));
    let term = |value: &String| {
        let (p, q) = (share(now, value, rows), share(before, value, rows_before));
        (p - q) * (p / q).ln()
    };
    values.map(term).sum()
}
