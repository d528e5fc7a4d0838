//! What `with:` of `data/split` accepts.

use flow_engine::{Fraction, StageError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Key, Part, assign::Groups};

/// Split rows into train, validation, and test parts by the hash of their group.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SplitConfig {
    /// Shares of the parts; together 1.
    pub ratios: Ratios,
    /// Fields whose values make a group: rows of a group go to one part. Without any, equal rows are a group.
    pub group_by: Vec<String>,
    /// What else joins groups.
    pub join_groups: Vec<Join>,
    /// Fields whose values are to be spread evenly. Groups then go where most is missing, so adding rows may move some.
    pub stratify_by: Vec<String>,
    /// Groups that go to one part whatever their hash says.
    pub hold_out: Option<HoldOut>,
    /// What must not be on both sides.
    pub leak_check: LeakCheck,
    /// The fewest rows of each part.
    pub min_rows: MinRows,
    /// Fail when more than this share of rows is dropped because of leaks.
    pub max_drop_fraction: Fraction,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self {
            ratios: Ratios::default(),
            group_by: Vec::new(),
            join_groups: Vec::new(),
            stratify_by: Vec::new(),
            hold_out: None,
            leak_check: LeakCheck::default(),
            min_rows: MinRows::default(),
            max_drop_fraction: Fraction::try_from(0.5).expect("a half is a fraction"),
        }
    }
}

/// Shares of the parts.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ratios {
    /// Share of `train`.
    pub train: Fraction,
    /// Share of `validation`.
    pub validation: Fraction,
    /// Share of `test`.
    pub test: Fraction,
}

impl Default for Ratios {
    fn default() -> Self {
        let share = |share: f64| Fraction::try_from(share).expect("shares of the default are fractions");
        Self { train: share(0.9), validation: share(0.05), test: share(0.05) }
    }
}

impl Ratios {
    /// The share of a part.
    pub fn of(&self, part: Part) -> f64 {
        match part {
            Part::Train => self.train.get(),
            Part::Validation => self.validation.get(),
            Part::Test => self.test.get(),
        }
    }

    pub(super) fn check(&self) -> Result<(), StageError> {
        let sum: f64 = Part::ALL.iter().map(|part| self.of(*part)).sum();
        if (sum - 1.0).abs() < 1e-9 {
            return Ok(());
        }
        Err(StageError::input(format!("ratios add up to {sum}, not to 1"))
            .help("write for example `ratios: {train: 0.9, validation: 0.05, test: 0.05}`"))
    }
}

/// What joins groups beside their fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// Rows that are nearly equal, by the threshold of `leak_check.fuzzy`.
    FuzzyCluster,
}

/// Groups that go to one part.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldOut {
    /// The field that is looked at.
    pub field: String,
    /// Its values.
    pub values: Vec<String>,
    /// Where rows with these values go, with their whole group.
    #[serde(default = "test")]
    pub into: Part,
}

impl HoldOut {
    pub(super) fn takes(&self, value: Option<&str>) -> bool {
        value.is_some_and(|value| self.values.iter().any(|held| held == value))
    }
}

fn test() -> Part {
    Part::Test
}

/// What must not be on both sides.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LeakCheck {
    /// Equal rows, whatever their case, punctuation, and width of characters.
    pub exact: bool,
    /// Rows whose shingles agree by at least this share; null does not look.
    pub fuzzy: Option<Fraction>,
    /// What happens when something is.
    pub on_leak: OnLeak,
}

impl Default for LeakCheck {
    fn default() -> Self {
        Self { exact: true, fuzzy: Fraction::try_from(0.8).ok(), on_leak: OnLeak::Fail }
    }
}

/// What happens to rows that are on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnLeak {
    /// The stage fails and names some.
    Fail,
    /// The row on the less guarded side is dropped: train before validation before test.
    Drop,
    /// Its whole group moves to the more guarded side.
    Move,
}

/// The fewest rows of each part.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MinRows {
    /// Of `train`.
    pub train: u64,
    /// Of `validation`.
    pub validation: u64,
    /// Of `test`.
    pub test: u64,
}

impl Default for MinRows {
    fn default() -> Self {
        Self { train: 1, validation: 0, test: 0 }
    }
}

impl MinRows {
    pub(super) fn check(&self, groups: &Groups) -> Result<(), StageError> {
        for (part, least) in Part::ALL.into_iter().zip([self.train, self.validation, self.test]) {
            let rows = groups.rows_in(part);
            if rows < least {
                let message = format!("{} has {rows} rows of {}, at least {least} are wanted", part.name(), groups.parts().len());
                return Err(StageError::input(message).help("change `ratios`, `group_by`, or `min_rows`, or bring more rows"));
            }
        }
        Ok(())
    }
}

impl SplitConfig {
    /// Fails when a field of `group_by` is nowhere, or nothing is held out: a misspelt name must not pass silently.
    pub(super) fn check_fields(&self, keys: &[Key]) -> Result<(), StageError> {
        if !self.group_by.is_empty() && !keys.is_empty() && !keys.iter().any(|key| key.complete) {
            let message = format!("no row has the fields of `group_by`: {}", self.group_by.join(", "));
            return Err(StageError::input(message).help("name fields that the source's rows have beside their text"));
        }
        if let Some(hold) = self.hold_out.as_ref().filter(|_| !keys.is_empty() && !keys.iter().any(|key| key.held_out)) {
            let message = format!("no row has a value of `hold_out` in field {}", hold.field);
            return Err(StageError::input(message).help("compare `field` and `values` with the rows"));
        }
        Ok(())
    }
}
