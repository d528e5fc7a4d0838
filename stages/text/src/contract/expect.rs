//! Expectations about all rows: observed one by one, judged at the end.

use std::collections::HashSet;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use super::{column, schema::size};
use crate::record::Record;

/// What is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The column has a value.
    NotNull,
    /// No two rows have the same value.
    Unique,
    /// The value is one of `values`.
    InSet,
    /// The text matches `regex`.
    Regex,
    /// The text is between `min` and `max` characters long.
    LengthBetween,
    /// The number lies between `min` and `max`.
    ValueBetween,
    /// The mean of numbers or lengths lies between `min` and `max`.
    MeanBetween,
    /// The quantile `q` of numbers or lengths lies between `min` and `max`.
    QuantileBetween,
    /// There are between `min` and `max` rows.
    RowCountBetween,
}

/// What it means when an expectation is not met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The stage fails.
    #[default]
    Fail,
    /// The report says so.
    Warn,
}

/// One expectation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// What is expected.
    pub expect: Kind,
    /// The column it is about: `prompt`, `answer`, `source`, or a field of the rows.
    #[serde(default)]
    pub column: Option<String>,
    /// The smallest value.
    #[serde(default)]
    pub min: Option<f64>,
    /// The largest value.
    #[serde(default)]
    pub max: Option<f64>,
    /// The quantile, such as 0.5 for the median.
    #[serde(default)]
    pub q: Option<f64>,
    /// The values of a set.
    #[serde(default)]
    pub values: Vec<Value>,
    /// A regular expression that must match somewhere.
    #[serde(default)]
    pub regex: Option<String>,
    /// The share of rows with a value that must be as expected.
    #[serde(default = "all")]
    pub mostly: f64,
    /// What it means when it is not met.
    #[serde(default)]
    pub severity: Severity,
}

fn all() -> f64 {
    1.0
}

/// An expectation that cannot be observed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot observe the expectation {expect}: {fault}")]
pub struct ExpectationError {
    expect: String,
    fault: String,
}

/// An expectation while rows go by.
pub struct Observed {
    expectation: Expectation,
    regex: Option<Regex>,
    rows: u64,
    judged: u64,
    unexpected: u64,
    seen: HashSet<u128>,
    numbers: Vec<f64>,
    examples: Vec<String>,
}

/// How an expectation was met.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// What was expected, in words.
    pub expected: String,
    /// What was found.
    pub observed: f64,
    /// Rows that were not as expected.
    pub unexpected: u64,
    /// Row ids of the first of them.
    pub examples: Vec<String>,
    /// Whether it was met.
    pub met: bool,
    /// What it means if not.
    pub severity: Severity,
}

/// Rows that are named as examples.
const EXAMPLES: usize = 20;

impl Observed {
    /// Prepares an expectation.
    pub fn new(expectation: &Expectation) -> Result<Self, ExpectationError> {
        let fault = |fault: &str| ExpectationError { expect: expectation.name(), fault: fault.to_owned() };
        let needs_column = expectation.expect != Kind::RowCountBetween;
        if needs_column && expectation.column.is_none() {
            return Err(fault("it names no column"));
        }
        let needs_bound = !matches!(expectation.expect, Kind::NotNull | Kind::Unique | Kind::InSet | Kind::Regex);
        if needs_bound && expectation.min.is_none() && expectation.max.is_none() {
            return Err(fault("it has neither `min` nor `max`"));
        }
        if expectation.expect == Kind::QuantileBetween && !expectation.q.is_some_and(|q| (0.0..=1.0).contains(&q)) {
            return Err(fault("it needs `q` between 0 and 1"));
        }
        if expectation.expect == Kind::InSet && expectation.values.is_empty() {
            return Err(fault("it names no values"));
        }
        let regex = match (&expectation.regex, expectation.expect) {
            (Some(pattern), _) => Some(Regex::new(pattern).map_err(|_| fault("its regular expression cannot be read"))?),
            (None, Kind::Regex) => return Err(fault("it has no `regex`")),
            (None, _) => None,
        };
        let expectation = expectation.clone();
        let (seen, numbers, examples) = (HashSet::new(), Vec::new(), Vec::new());
        Ok(Self { expectation, regex, rows: 0, judged: 0, unexpected: 0, seen, numbers, examples })
    }

    /// Looks at a row.
    pub fn observe(&mut self, record: &Record) {
        self.rows += 1;
        let Some(name) = &self.expectation.column else { return };
        let value = column(record, name);
        if value.is_null() && self.expectation.expect != Kind::NotNull {
            return;
        }
        self.judged += 1;
        if !self.is_expected(&value) {
            self.unexpected += 1;
            if self.examples.len() < EXAMPLES {
                self.examples.push(record.row_id.clone());
            }
        }
    }

    fn is_expected(&mut self, value: &Value) -> bool {
        let within =
            |number: f64, of: &Expectation| of.min.is_none_or(|min| number >= min) && of.max.is_none_or(|max| number <= max);
        match self.expectation.expect {
            Kind::NotNull => !value.is_null(),
            Kind::Unique => self.seen.insert(xxh3_128(value.to_string().as_bytes())),
            Kind::InSet => self.expectation.values.contains(value),
            Kind::Regex => self.regex.as_ref().zip(value.as_str()).is_some_and(|(regex, text)| regex.is_match(text)),
            Kind::LengthBetween => value.is_string() && size(value).is_some_and(|size| within(size, &self.expectation)),
            Kind::ValueBetween => value.as_f64().is_some_and(|number| within(number, &self.expectation)),
            Kind::MeanBetween | Kind::QuantileBetween => {
                self.numbers.extend(size(value));
                true
            }
            Kind::RowCountBetween => true,
        }
    }

    /// Judges what was seen. A column without any value meets nothing but a count.
    #[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^52")]
    pub fn judge(mut self) -> Outcome {
        let expectation = &self.expectation;
        let within =
            |number: f64| expectation.min.is_none_or(|min| number >= min) && expectation.max.is_none_or(|max| number <= max);
        let (observed, met) = match expectation.expect {
            Kind::RowCountBetween => (self.rows as f64, within(self.rows as f64)),
            Kind::MeanBetween => {
                let mean = self.numbers.iter().sum::<f64>() / self.numbers.len().max(1) as f64;
                (mean, !self.numbers.is_empty() && within(mean))
            }
            Kind::QuantileBetween => {
                self.numbers.sort_by(f64::total_cmp);
                let found = quantile(&self.numbers, expectation.q.unwrap_or(0.5));
                (found.unwrap_or(f64::NAN), found.is_some_and(within))
            }
            Kind::NotNull | Kind::Unique | Kind::InSet | Kind::Regex | Kind::LengthBetween | Kind::ValueBetween => {
                let share = if self.judged == 0 { 0.0 } else { (self.judged - self.unexpected) as f64 / self.judged as f64 };
                (share, self.rows == 0 || (self.judged > 0 && share >= expectation.mostly))
            }
        };
        let (expected, severity) = (expectation.name(), expectation.severity);
        let observed = if observed.is_finite() { observed } else { 0.0 };
        Outcome { expected, observed, unexpected: self.unexpected, examples: self.examples, met, severity }
    }
}

/// The value below which a share of sorted numbers lies.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index of the list"
    )]
    let at = (q * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(at).copied()
}

impl Expectation {
    /// It in words, such as `length_between of prompt (1 to 4000)`.
    pub fn name(&self) -> String {
        let kind = serde_json::to_value(self.expect).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
        let column = self.column.as_ref().map(|column| format!(" of {column}")).unwrap_or_default();
        let bound = |bound: Option<f64>| bound.map_or_else(|| "any".to_owned(), |bound| bound.to_string());
        let range = match (self.min, self.max) {
            (None, None) => String::new(),
            (min, max) => format!(" ({} to {})", bound(min), bound(max)),
        };
        format!("{kind}{column}{range}")
    }
}
