//! What may be done with data under its licence: names to SPDX, expressions to decisions, decisions to obligations.
//!
//! [`Licence::named`] knows licences by SPDX identifier and by the names that people write. [`Expression`] joins them with
//! `AND`, `OR`, and `WITH`; [`Policy::decide`] holds one against what is intended. Whatever is not known is refused by name:
//! no guess ever permits a use.

mod expression;
mod known;
mod policy;

use serde::Serialize;

pub use expression::{Expression, ExpressionError};
pub use policy::{Decision, Grant, Intent, Policy, ShareAlike};

/// What a licence lets people do with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Everything, commerce too.
    Commercial,
    /// Nobody said.
    Unspecified,
    /// Everything but commerce.
    NonCommercial,
    /// Research at a university or the like.
    AcademicOnly,
}

impl Class {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Commercial => "commercial",
            Self::Unspecified => "unspecified",
            Self::NonCommercial => "non-commercial",
            Self::AcademicOnly => "academic-only",
        }
    }
}

/// One licence and what it asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Licence {
    /// Its SPDX identifier, or one that begins with `LicenseRef-`.
    pub id: String,
    /// What it permits.
    pub class: Class,
    /// What it asks for.
    pub asks: Asks,
}

/// What a licence asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asks {
    /// Nothing.
    Nothing,
    /// Whoever made the data must be named.
    Attribution,
    /// They must be named, and what is made of it must stay under the same licence.
    ShareAlike,
    /// They must be named, and nothing may be made of it.
    NoDerivatives,
    /// The terms of a service: nobody is named, but what its model wrote may not teach a rival.
    Terms,
}

impl Licence {
    /// Whether whoever made the data must be named.
    pub fn attribution(&self) -> bool {
        matches!(self.asks, Asks::Attribution | Asks::ShareAlike | Asks::NoDerivatives)
    }

    /// Whether what is made of the data must stay under the same licence.
    pub fn share_alike(&self) -> bool {
        self.asks == Asks::ShareAlike
    }

    /// Returns the licence of an SPDX identifier or another name that is known.
    pub fn named(name: &str) -> Option<Self> {
        known::find(name)
    }
}

#[cfg(test)]
mod tests;
