//! The trash: what the collector moved away, by collection, until it is deleted.

use std::{collections::BTreeSet, fs, io, path::Path};

use super::{entries, named};
use crate::{
    Digest,
    store::{Store, StoreError, cas::shard, files},
};

/// The kinds of things that are moved to the trash, by their folder. Nodes come back before results that need them.
const FOLDERS: [&str; 3] = ["cas", "tree", "ac"];

/// Looks for an object in the trash and puts it back. False when it is not there.
pub(crate) fn rescue(root: &Path, (folder, digest): (&str, &Digest)) -> Result<bool, StoreError> {
    let name = digest.to_string();
    for collection in entries(&root.join("trash"))? {
        let from = collection.join(folder).join(&name);
        if !from.exists() {
            continue;
        }
        let place = shard(&root.join(folder), digest);
        if let Some(parent) = place.parent() {
            files::make_folder(parent)?;
        }
        // A link: an object that somebody made again meanwhile stays.
        match fs::hard_link(&from, &place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(StoreError::io("bring back", &place)(error));
            }
            _ => {}
        }
        // What is left in the trash is deleted later; the object is back.
        fs::remove_file(&from).ok();
        return Ok(true);
    }
    Ok(false)
}

/// Puts one thing back, if it is in the trash.
pub(super) fn bring_back(store: &Store, what: (&str, &Digest)) -> Result<(), StoreError> {
    rescue(store.root(), what).map(|_| ())
}

/// What the trash holds of one kind.
pub(super) fn held(store: &Store, folder: &str) -> Result<BTreeSet<Digest>, StoreError> {
    let mut held = BTreeSet::new();
    for collection in entries(&store.root().join("trash"))? {
        held.extend(entries(&collection.join(folder))?.iter().filter_map(|path| named(path)));
    }
    Ok(held)
}

impl Store {
    /// Puts everything in the trash back and returns how many results and objects that were.
    pub fn restore(&self) -> Result<(u64, u64), StoreError> {
        let (mut results, mut objects) = (0, 0);
        for folder in FOLDERS {
            for digest in held(self, folder)? {
                let back = u64::from(rescue(self.root(), (folder, &digest))?);
                if folder == "ac" {
                    results += back;
                } else {
                    objects += back;
                }
            }
        }
        Ok((results, objects))
    }
}
