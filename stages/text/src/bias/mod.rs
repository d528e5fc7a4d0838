//! Measures how social groups appear in texts: how often, next to which words, and with which labels.
//!
//! Groups are found by words of a lexicon of our own, so what is measured is who is *mentioned*, not who wrote or is meant.
//! Every number comes with a bootstrap interval; groups mentioned too rarely are reported as inconclusive.

mod association;
mod gate;
mod lexicon;
mod measure;
mod resample;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use association::{Association, LabelRates, Outcomes};
pub use gate::{GateResult, judge};
pub use lexicon::{GroupIndex, Lexicon, Mentions};
pub use measure::{AxisReport, GroupShare, Interval, Observations};

/// A dimension along which people are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Women, men, and non-binary people.
    Gender,
    /// Young and old people.
    Age,
    /// Faiths and the lack of one.
    Religion,
    /// Peoples by the adjective of their country.
    Nationality,
    /// Ethnic groups.
    RaceEthnicity,
    /// People with and without disabilities.
    Disability,
    /// Sexual orientation.
    Orientation,
    /// Poor and rich people.
    Socioeconomic,
}

impl Axis {
    /// Every axis.
    pub const ALL: [Self; 8] = [
        Self::Gender,
        Self::Age,
        Self::Religion,
        Self::Nationality,
        Self::RaceEthnicity,
        Self::Disability,
        Self::Orientation,
        Self::Socioeconomic,
    ];

    /// The name in workflow files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gender => "gender",
            Self::Age => "age",
            Self::Religion => "religion",
            Self::Nationality => "nationality",
            Self::RaceEthnicity => "race_ethnicity",
            Self::Disability => "disability",
            Self::Orientation => "orientation",
            Self::Socioeconomic => "socioeconomic",
        }
    }
}

#[cfg(test)]
mod tests;
