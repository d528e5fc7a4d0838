//! How people name a version: `NAME`, `NAME@ALIAS`, or `NAME@VERSION`.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Alias, RegistryError};

/// A model's name: letters, digits, `-`, `_`, and `.`, not starting with a dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}$"))]
pub struct ModelName(String);

/// Which version of a name is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The highest number.
    Latest,
    /// This number.
    Version(u32),
    /// What the alias names now.
    Alias(Alias),
}

/// A name and a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The model.
    pub name: ModelName,
    /// Which version of it.
    pub selector: Selector,
}

impl ModelName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.0
    }
}

impl TryFrom<String> for ModelName {
    type Error = RegistryError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > 255 || text.starts_with('.') || !text.chars().all(plain) {
            let reason = "a name has letters, digits, '-', '_', and '.', and does not start with a dot";
            return Err(RegistryError::BadReference { text, reason });
        }
        Ok(Self(text))
    }
}

impl FromStr for ModelName {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl FromStr for Selector {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        match text.strip_prefix('v').unwrap_or(text).parse() {
            Ok(number) => Ok(Self::Version(number)),
            Err(_) => text.parse().map(Self::Alias),
        }
    }
}

impl FromStr for Reference {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, selector) = text.split_once('@').unwrap_or((text, "latest"));
        Ok(Self { name: name.parse()?, selector: selector.parse()? })
    }
}
