//! Moving pins: what `flow update` does.

use std::{collections::BTreeMap, path::Path};

use serde::Serialize;

use super::{ComponentError, Components, GitReference, SCHEME, git::Repository};
use crate::{
    lock::{ComponentPin, LockFile},
    project::Project,
    store::{Checkout, amend_lock},
};

/// What became of one pin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Update {
    /// The revision still names the pinned commit.
    Unchanged {
        /// The pin.
        pin: String,
        /// Its commit.
        commit: String,
    },
    /// The pin moved to the commit that the revision names now.
    Moved(Moved),
    /// The pin of a source was taken out; the next run pins what it finds.
    Released {
        /// The pin.
        pin: String,
    },
}

/// A pin that moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// The pin.
    pub pin: String,
    /// The commit before.
    pub from: String,
    /// The commit now.
    pub to: String,
    /// What changed, if the old commit's files are still here.
    pub files: Option<Replaced>,
}

/// Files that differ between two commits, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replaced {
    /// Only in the new one.
    pub added: Vec<String>,
    /// Only in the old one.
    pub removed: Vec<String>,
    /// In both, with other content.
    pub changed: Vec<String>,
}

/// Asks the repositories again and moves the pins of a project. Without names, every component; a source only by name.
pub fn update(project: &Project, names: &[String]) -> Result<Vec<Update>, ComponentError> {
    let lock = LockFile::read(&project.lock_file)?;
    let components = Components::new(project);
    let mut updates = Vec::new();
    for pin in chosen(project, &lock, names)? {
        if let Some(old) = lock.components.get(&pin) {
            updates.push(components.moved(&pin, old)?);
            continue;
        }
        amend_lock(project, |lock| {
            lock.sources.remove(&pin);
        })?;
        updates.push(Update::Released { pin });
    }
    Ok(updates)
}

/// The pins that names stand for.
fn chosen(project: &Project, lock: &LockFile, names: &[String]) -> Result<Vec<String>, ComponentError> {
    if names.is_empty() {
        return Ok(lock.components.keys().cloned().collect());
    }
    let mut chosen = Vec::new();
    for name in names {
        let fits = |pin: &&String| *pin == name || short_names(pin).any(|short| short == name);
        let found: Vec<String> = lock.components.keys().chain(lock.sources.keys()).filter(fits).cloned().collect();
        if found.is_empty() {
            let known: Vec<String> = lock.components.keys().chain(lock.sources.keys()).map(|pin| format!("`{pin}`")).collect();
            let known = if known.is_empty() { "it pins nothing yet".to_owned() } else { format!("it pins {}", known.join(", ")) };
            let lock = project.lock_file.display().to_string();
            return Err(ComponentError::UnknownPin { name: name.clone(), lock, known });
        }
        chosen.extend(found);
    }
    chosen.sort();
    chosen.dedup();
    Ok(chosen)
}

/// Other names of a pin: the repository without scheme and revision, and its last part.
fn short_names(pin: &str) -> impl Iterator<Item = &str> {
    let repository = pin.strip_prefix(SCHEME).and_then(|rest| rest.rsplit_once('@')).map(|(repository, _)| repository);
    let last = repository.and_then(|repository| repository.rsplit('/').next()).map(|last| last.trim_end_matches(".git"));
    repository.into_iter().chain(last)
}

impl Components {
    fn moved(&self, pin: &str, old: &ComponentPin) -> Result<Update, ComponentError> {
        let unreadable = || super::InvalidReference { text: pin.to_owned(), reason: "its pin names no repository" };
        let reference = GitReference::of_pin(pin).ok_or_else(unreadable)?;
        let repository = Repository::of(&reference);
        let found = repository.look()?;
        let place = self.place()?;
        let before = place.kept(old)?;
        if found.commit == old.commit && before.is_some() {
            return Ok(Update::Unchanged { pin: pin.to_owned(), commit: found.commit });
        }
        let (after, new) = place.take(&repository, &found)?;
        if new == *old {
            return Ok(Update::Unchanged { pin: pin.to_owned(), commit: found.commit });
        }
        let files = before.map(|before| replaced(&before, &after)).transpose()?;
        let moved = Moved { pin: pin.to_owned(), from: old.commit.clone(), to: new.commit.clone(), files };
        amend_lock(&self.project, |lock| drop(lock.components.insert(pin.to_owned(), new)))?;
        Ok(Update::Moved(moved))
    }
}

fn replaced(before: &Checkout, after: &Checkout) -> Result<Replaced, ComponentError> {
    let (old, new) = (by_name(before)?, by_name(after)?);
    let only = |one: &BTreeMap<String, _>, other: &BTreeMap<String, _>| {
        one.keys().filter(|name| !other.contains_key(*name)).cloned().collect::<Vec<String>>()
    };
    let differs = |(name, digest): &(&String, &crate::Digest)| old.get(*name).is_some_and(|known| known != *digest);
    let changed = new.iter().filter(differs).map(|(name, _)| name.clone()).collect();
    Ok(Replaced { added: only(&new, &old), removed: only(&old, &new), changed })
}

fn by_name(checkout: &Checkout) -> Result<BTreeMap<String, crate::Digest>, ComponentError> {
    let name = |path: &Path| path.strip_prefix(&checkout.folder).unwrap_or(path).to_string_lossy().into_owned();
    let files = checkout.files()?;
    Ok(files.into_iter().map(|(path, digest)| (name(&path), digest)).collect())
}
