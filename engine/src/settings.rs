//! `flow.toml`: settings of the site. Nothing here ever enters an action key.
//!
//! One struct for each table; a table that is left out has its defaults. What the settings mean is the business of the
//! modules that use them.

use std::{collections::BTreeMap, io, path::Path, path::PathBuf};

use serde::Deserialize;

use crate::{export::LineageSettings, govern::Trust, project::ProjectError, units::Size};

/// The file that marks a project's root and holds site settings.
pub const SETTINGS_FILE: &str = "flow.toml";

/// Everything `flow.toml` may hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `[registry]`: where models are kept.
    pub registry: Place,
    /// `[store]`: where results are kept.
    pub store: Place,
    /// `[machine]`: what stages may use.
    pub machine: MachineSettings,
    /// `[trust]`: whose decisions count.
    pub trust: Trust,
    /// `[policy]`: what every workflow must hold to.
    pub policy: PolicySettings,
    /// `[openlineage]`: where lineage events go.
    pub openlineage: LineageSettings,
}

/// What every workflow must hold to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicySettings {
    /// The file with the rules, relative to the project's root.
    pub file: Option<PathBuf>,
}

/// A table that names a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Place {
    /// The folder, relative to the project's root.
    pub path: Option<PathBuf>,
}

/// What stages may use of this machine, where it is not what the machine says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MachineSettings {
    /// Processor cores.
    pub cpus: Option<u32>,
    /// Memory.
    pub mem: Option<Size>,
    /// Graphics cards: their names, or how many there are.
    pub gpus: Option<Cards>,
    /// Memory of each graphics card.
    pub vram: Option<Size>,
    /// How many of each named thing there are, such as licences.
    pub tokens: BTreeMap<String, u32>,
}

/// Graphics cards by number or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cards {
    /// This many of those the machine has.
    Count(u32),
    /// These, by UUID or index.
    Named(Vec<String>),
}

impl<'de> Deserialize<'de> for Cards {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Cards;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number of graphics cards, or a list of their UUIDs")
            }

            fn visit_i64<E: serde::de::Error>(self, count: i64) -> Result<Cards, E> {
                u32::try_from(count).map(Cards::Count).map_err(|_| E::custom(format!("{count} is no number of graphics cards")))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut names: A) -> Result<Cards, A::Error> {
                let mut all = Vec::new();
                while let Some(name) = names.next_element()? {
                    all.push(name);
                }
                Ok(Cards::Named(all))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Settings {
    /// Reads a settings file; a missing one holds nothing.
    pub fn read(path: &Path) -> Result<Self, ProjectError> {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                toml::from_str(&text).map_err(|source| ProjectError::Invalid { path: path.to_owned(), source: Box::new(source) })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(ProjectError::Unreadable { path: path.to_owned(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(text: &str) -> Result<MachineSettings, toml::de::Error> {
        toml::from_str::<Settings>(text).map(|settings| settings.machine)
    }

    #[test]
    fn the_machine_can_be_described() {
        let told = machine("[machine]\ncpus = 4\nmem = \"8GiB\"\ngpus = 2\nvram = \"24GiB\"\ntokens = {licence = 2}\n").unwrap();
        assert_eq!((told.cpus, told.mem, told.gpus), (Some(4), Some(Size::gib(8)), Some(Cards::Count(2))));
        assert_eq!((told.vram, told.tokens.get("licence")), (Some(Size::gib(24)), Some(&2)));
        let named = machine("[machine]\ngpus = [\"GPU-1\", \"GPU-2\"]\n").unwrap();
        assert_eq!(named.gpus, Some(Cards::Named(vec!["GPU-1".to_owned(), "GPU-2".to_owned()])));
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        for text in ["[machine]\ncpu = 4\n", "[machine]\nmem = \"8 bananas\"\n", "[machine]\ngpus = -1\n", "[machines]\n"] {
            assert!(machine(text).is_err(), "{text}");
        }
    }
}
