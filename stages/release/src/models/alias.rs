//! Aliases: movable names such as `candidate` or `champion` for one version of a model.
//!
//! An alias is a file that holds a number. It is swapped by a rename under a lock file of the model, so that a
//! compare-and-set sees every other one. The lock belongs to an open file and ends with its process.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io::{self, Write},
    path::PathBuf,
    str::FromStr,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ModelName, ModelRegistry, RegistryError, entries, sync_dir};

/// The name of an alias. `latest` and `v1`, `v2`, … are reserved, as in MLflow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = r"^[A-Za-z0-9_-]{1,255}$"))]
pub struct Alias(String);

/// What an alias must name for a move to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AliasExpectation {
    /// Anything or nothing.
    Any,
    /// Exactly this; `None` means the alias must not exist.
    Exactly(Option<u32>),
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Alias> for String {
    fn from(alias: Alias) -> Self {
        alias.0
    }
}

impl TryFrom<String> for Alias {
    type Error = RegistryError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let numbered = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        if text.is_empty() || text.len() > 255 || !text.chars().all(plain) {
            return Err(RegistryError::BadReference { text, reason: "an alias has letters, digits, '-', and '_'" });
        }
        if text == "latest" || numbered(text.strip_prefix('v').unwrap_or(&text)) {
            return Err(RegistryError::BadReference { text, reason: "`latest` and version numbers are reserved" });
        }
        Ok(Self(text))
    }
}

impl FromStr for Alias {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl ModelRegistry {
    /// All aliases of a name and the versions they name.
    pub fn aliases(&self, name: &ModelName) -> Result<BTreeMap<String, u32>, RegistryError> {
        let mut found = BTreeMap::new();
        for alias in entries(&self.alias_dir(name))?.into_iter().filter_map(|entry| entry.parse::<Alias>().ok()) {
            if let Some(number) = self.alias(name, &alias)? {
                found.insert(alias.0, number);
            }
        }
        Ok(found)
    }

    /// The version that an alias names.
    pub fn alias(&self, name: &ModelName, alias: &Alias) -> Result<Option<u32>, RegistryError> {
        let path = self.alias_dir(name).join(&alias.0);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.trim().parse().ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(RegistryError::Io { path, source }),
        }
    }

    /// Points an alias at a version if it names what is expected, in one atomic step.
    pub fn set_alias(
        &self,
        (name, alias): (&ModelName, &Alias),
        number: u32,
        expected: AliasExpectation,
    ) -> Result<(), RegistryError> {
        let folder = self.alias_dir(name);
        let fail = |path: PathBuf| move |source| RegistryError::Io { path, source };
        fs::create_dir_all(&folder).map_err(fail(folder.clone()))?;
        let lock_path = folder.join(".lock");
        let lock = File::create(&lock_path).map_err(fail(lock_path.clone()))?;
        lock.lock().map_err(fail(lock_path))?;
        let now = self.alias(name, alias)?;
        if let AliasExpectation::Exactly(wanted) = expected
            && wanted != now
        {
            let now = now.map_or_else(|| "nothing".to_owned(), |number| format!("version {number}"));
            return Err(RegistryError::AliasMoved { name: name.to_string(), alias: alias.0.clone(), now });
        }
        let fresh = folder.join(format!(".{alias}.new"));
        let written = File::create(&fresh).and_then(|mut file| {
            writeln!(file, "{number}")?;
            file.sync_all()
        });
        written.map_err(fail(fresh.clone()))?;
        let target = folder.join(&alias.0);
        fs::rename(&fresh, &target).map_err(fail(target))?;
        sync_dir(&folder)
    }

    fn alias_dir(&self, name: &ModelName) -> PathBuf {
        self.root().join(name.as_str()).join("aliases")
    }
}
