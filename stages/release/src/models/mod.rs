//! The model registry: immutable versions as folders of files, aliases as files that name a version.
//!
//! The files are the truth. A version is written beside its place, flushed, and renamed into it, so it is whole or absent;
//! concurrent pushes get distinct numbers because a rename onto an existing folder fails. The index (`index.rs`) only makes
//! listing fast and is rebuilt from the files whenever they disagree.

mod alias;
mod error;
mod index;
mod reference;
mod version;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

pub use alias::{Alias, AliasExpectation};
pub use error::RegistryError;
pub use reference::{ModelName, Reference, Selector};
pub use version::{Base, FileRecord, NewVersion, Version};

use version::{VERSION_FILE, hash_files};

/// A registry folder.
pub struct ModelRegistry {
    root: PathBuf,
}

/// A version and where it lies.
#[derive(Clone, Debug)]
pub struct Registered {
    /// What the registry recorded.
    pub version: Version,
    /// The folder that holds its files.
    pub directory: PathBuf,
    /// Aliases that name it now.
    pub aliases: Vec<String>,
}

impl ModelRegistry {
    /// Opens a registry; the folder is made by the first push.
    pub fn open(root: &Path) -> Result<Self, RegistryError> {
        if root.exists() && !root.is_dir() {
            return Err(RegistryError::NotAFolder { path: root.to_path_buf() });
        }
        Ok(Self { root: root.to_path_buf() })
    }

    /// The registry's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Names with at least one version, sorted.
    pub fn names(&self) -> Result<Vec<ModelName>, RegistryError> {
        let names = entries(&self.root)?.into_iter().filter_map(|name| name.parse().ok());
        Ok(names.filter(|name| self.versions_dir(name).is_dir()).collect())
    }

    /// Version numbers of a name, ascending.
    pub fn numbers(&self, name: &ModelName) -> Result<Vec<u32>, RegistryError> {
        let mut numbers: Vec<u32> = entries(&self.versions_dir(name))?.iter().filter_map(|entry| entry.parse().ok()).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Every version of every name, by name and number, through the index.
    pub fn list(&self) -> Result<Vec<Registered>, RegistryError> {
        index::list(self)
    }

    /// Finds the version that a reference means.
    pub fn resolve(&self, reference: &Reference) -> Result<Registered, RegistryError> {
        let name = &reference.name;
        let number = match &reference.selector {
            Selector::Version(number) => *number,
            Selector::Latest => self.numbers(name)?.pop().ok_or_else(|| self.unknown_model(name))?,
            Selector::Alias(alias) => self.alias(name, alias)?.ok_or_else(|| self.unknown_alias(name, alias))?,
        };
        self.read(name, number)
    }

    /// Reads one version.
    pub fn read(&self, name: &ModelName, number: u32) -> Result<Registered, RegistryError> {
        let directory = self.versions_dir(name).join(number.to_string());
        let path = directory.join(VERSION_FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(RegistryError::UnknownVersion { name: name.to_string(), version: number });
            }
            Err(source) => return Err(RegistryError::Io { path, source }),
        };
        let version = serde_json::from_slice(&bytes).map_err(|source| RegistryError::Corrupt { path, source })?;
        let aliases = self.aliases(name)?.into_iter().filter(|(_, target)| *target == number).map(|(alias, _)| alias).collect();
        Ok(Registered { version, directory, aliases })
    }

    /// Finds a version of a name by the digest of its content.
    pub fn find_content(&self, name: &ModelName, content: &str) -> Result<Option<Registered>, RegistryError> {
        for number in self.numbers(name)?.into_iter().rev() {
            let registered = self.read(name, number)?;
            if registered.version.content == content {
                return Ok(Some(registered));
            }
        }
        Ok(None)
    }

    /// Publishes a version; the same content under the same name is the version that stands already.
    pub fn push(&self, name: &ModelName, new: NewVersion) -> Result<Registered, RegistryError> {
        let staging = self.root.join(name.as_str()).join("staging").join(ulid::Ulid::new().to_string());
        let pushed = self.push_through(name, new, &staging);
        if staging.exists() {
            // A push that failed, on a full disk for one, leaves nothing behind; neither does one of known content.
            remove(&staging).or_else(|error| if pushed.is_ok() { Err(error) } else { Ok(()) })?;
        }
        pushed
    }

    fn push_through(&self, name: &ModelName, new: NewVersion, staging: &Path) -> Result<Registered, RegistryError> {
        stage(&new, staging)?;
        let files = hash_files(staging)?;
        let content = new.content_digest(&files);
        match self.find_content(name, &content)? {
            Some(standing) => Ok(standing),
            None => self.publish(name, (new, content, files), staging),
        }
    }

    /// Hashes every file of a version again and names those that differ.
    pub fn damaged(&self, registered: &Registered) -> Result<Vec<String>, RegistryError> {
        let now: BTreeMap<String, FileRecord> =
            hash_files(&registered.directory)?.into_iter().map(|file| (file.path.clone(), file)).collect();
        let differs = |file: &&FileRecord| now.get(&file.path) != Some(file);
        Ok(registered.version.files.iter().filter(differs).map(|file| file.path.clone()).collect())
    }

    fn versions_dir(&self, name: &ModelName) -> PathBuf {
        self.root.join(name.as_str()).join("versions")
    }

    fn publish(
        &self,
        name: &ModelName,
        (new, content, files): (NewVersion, String, Vec<FileRecord>),
        staging: &Path,
    ) -> Result<Registered, RegistryError> {
        let versions = self.versions_dir(name);
        fs::create_dir_all(&versions).map_err(|source| RegistryError::Io { path: versions.clone(), source })?;
        let mut number = self.numbers(name)?.last().map_or(1, |last| last + 1);
        loop {
            let version = new.clone().into_version((name, number), content.clone(), files.clone());
            version.write(staging)?;
            let target = versions.join(number.to_string());
            match fs::rename(staging, &target) {
                Ok(()) => break,
                // Another push took the number; a rename never replaces a folder that holds files.
                Err(_) if target.exists() => number += 1,
                Err(source) => return Err(RegistryError::Io { path: target, source }),
            }
        }
        sync_dir(&versions)?;
        self.read(name, number)
    }

    fn unknown_model(&self, name: &ModelName) -> RegistryError {
        let known = self.names().unwrap_or_default().iter().map(ToString::to_string).collect();
        RegistryError::UnknownModel { name: name.to_string(), known }
    }

    fn unknown_alias(&self, name: &ModelName, alias: &Alias) -> RegistryError {
        match self.numbers(name) {
            Ok(numbers) if numbers.is_empty() => self.unknown_model(name),
            _ => {
                let known = self.aliases(name).unwrap_or_default().into_keys().collect();
                RegistryError::UnknownAlias { name: name.to_string(), alias: alias.to_string(), known }
            }
        }
    }
}

/// Copies what a version will hold into its staging folder.
fn stage(new: &NewVersion, staging: &Path) -> Result<(), RegistryError> {
    fs::create_dir_all(staging).map_err(|source| RegistryError::Io { path: staging.to_path_buf(), source })?;
    new.contents.iter().try_for_each(|(target, source)| copy_tree(source, &staging.join(target)))
}

/// The names in a folder that exists, or none.
fn entries(folder: &Path) -> Result<Vec<String>, RegistryError> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(RegistryError::Io { path: folder.to_path_buf(), source }),
    };
    let mut names: Vec<String> = listing.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    Ok(names)
}

fn copy_tree(source: &Path, target: &Path) -> Result<(), RegistryError> {
    let fail = |path: &Path| {
        let path = path.to_path_buf();
        move |source| RegistryError::Io { path, source }
    };
    if source.is_dir() {
        fs::create_dir_all(target).map_err(fail(target))?;
        for name in entries(source)? {
            copy_tree(&source.join(&name), &target.join(&name))?;
        }
        return Ok(());
    }
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(fail(parent))?;
    }
    let mut input = fs::File::open(source).map_err(fail(source))?;
    let mut output = fs::File::create(target).map_err(fail(target))?;
    io::copy(&mut input, &mut output).and_then(|_| output.sync_all()).map_err(fail(target))?;
    let mut permissions = output.metadata().map_err(fail(target))?.permissions();
    permissions.set_readonly(true);
    fs::set_permissions(target, permissions).map_err(fail(target))
}

fn remove(folder: &Path) -> Result<(), RegistryError> {
    fs::remove_dir_all(folder).map_err(|source| RegistryError::Io { path: folder.to_path_buf(), source })
}

fn sync_dir(folder: &Path) -> Result<(), RegistryError> {
    let synced = fs::File::open(folder).and_then(|handle| handle.sync_all());
    synced.map_err(|source| RegistryError::Io { path: folder.to_path_buf(), source })
}

#[cfg(test)]
mod tests;
