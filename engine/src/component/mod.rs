//! Components in git repositories: `uses: git:HOST/ORG/REPO//PATH@TAG`.
//!
//! A repository is fetched once at its tag by the `git` program, kept in the store by commit, and pinned in `flow.lock` by
//! commit and tree digest. From then on nothing is asked of the network, and every use is verified against the pin. What a
//! component means is the business of [`crate::plan`].

mod error;
mod git;
mod reference;
mod update;

use std::{
    cell::{OnceCell, RefCell},
    path::{Component, Path, PathBuf},
};

use self::git::{Found, Repository};
pub use self::{
    error::ComponentError,
    reference::{GitReference, InvalidReference},
    update::{Moved, Replaced, Update, update},
};
use crate::{
    lock::{ComponentPin, LockFile},
    project::Project,
    store::{Checkout, StatIndex, Store},
};

/// The word before a reference into a repository.
pub(crate) const SCHEME: &str = "git:";

/// Finds the repositories of one project. The store is opened when the first one is asked for.
pub(crate) struct Components {
    project: Project,
    place: OnceCell<Place>,
    /// Checkouts in use: what lies in one uses nothing outside it.
    roots: RefCell<Vec<PathBuf>>,
}

struct Place {
    store: Store,
    index: StatIndex,
}

impl Components {
    pub(crate) fn new(project: &Project) -> Self {
        Self { project: project.clone(), place: OnceCell::new(), roots: RefCell::default() }
    }

    /// Whether a file named in a folder stays in the repository of that folder, if it is in one.
    pub(crate) fn stays_inside(&self, folder: &Path, name: &str) -> bool {
        if self.roots.borrow().is_empty() {
            return true;
        }
        let folder = plain(folder);
        let file = plain(&folder.join(name));
        self.roots.borrow().iter().find(|root| folder.starts_with(root)).is_none_or(|root| file.starts_with(root))
    }

    /// The file that `uses:` names, fetched and pinned if need be.
    pub(crate) fn locate(&self, uses: &str) -> Result<PathBuf, ComponentError> {
        let reference: GitReference = uses.parse()?;
        let pin = LockFile::read(&self.project.lock_file)?.components.get(&reference.pin_name()).cloned();
        let kept = match &pin {
            Some(pin) => self.place()?.kept(pin)?,
            None => None,
        };
        let root = match kept {
            Some(checkout) => checkout.folder,
            None => self.fetch(&reference, pin.as_ref())?,
        };
        let file = reference
            .file_in(&root)
            .ok_or_else(|| ComponentError::NoFile { path: reference.path.clone(), repository: reference.pin_name() })?;
        self.roots.borrow_mut().push(plain(&root));
        Ok(file)
    }

    fn place(&self) -> Result<&Place, ComponentError> {
        if let Some(place) = self.place.get() {
            return Ok(place);
        }
        let store = Store::open(&self.project.site.store)?;
        let index = StatIndex::open(&self.project.state.join("state"))?;
        Ok(self.place.get_or_init(|| Place { store, index }))
    }

    /// Fetches a repository as the pin says, or as its tag says now, and pins it.
    fn fetch(&self, reference: &GitReference, pin: Option<&ComponentPin>) -> Result<PathBuf, ComponentError> {
        let place = self.place()?;
        let repository = Repository::of(reference);
        let found = match pin {
            Some(pin) => repository.pinned(pin)?,
            None => repository.look()?,
        };
        let (checkout, new) = place.take(&repository, &found)?;
        match pin {
            Some(pin) if pin.blake3 != new.blake3 => {
                let name = reference.pin_name();
                Err(ComponentError::Tree { repository: name, commit: new.commit, expected: pin.blake3, found: new.blake3 })
            }
            Some(_) => Ok(checkout.folder),
            None => {
                crate::store::amend_lock(&self.project, |lock| drop(lock.components.insert(reference.pin_name(), new)))?;
                Ok(checkout.folder)
            }
        }
    }
}

/// A path without links, or at least without `..` where there is nothing.
fn plain(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| {
        let mut plain = PathBuf::new();
        for part in path.components() {
            match part {
                Component::ParentDir => {
                    plain.pop();
                }
                part => plain.push(part),
            }
        }
        plain
    })
}

impl Place {
    /// The checkout of a pin, if it is here and whole.
    fn kept(&self, pin: &ComponentPin) -> Result<Option<Checkout>, ComponentError> {
        Ok(self.store.checkouts().find(&pin.commit, &pin.blake3, &self.index)?)
    }

    /// Fetches a commit into the store.
    fn take(&self, repository: &Repository, found: &Found) -> Result<(Checkout, ComponentPin), ComponentError> {
        let checkouts = self.store.checkouts();
        let staging = checkouts.staging()?;
        repository.check_out(found, staging.path())?;
        let checkout = checkouts.publish(&found.commit, &staging)?;
        let pin = ComponentPin { commit: found.commit.clone(), blake3: checkout.digest };
        Ok((checkout, pin))
    }
}

#[cfg(test)]
mod tests;
