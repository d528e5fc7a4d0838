//! What lies in the folders that commands name: one that is asked about often is listed once for all stages.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, FileType},
    path::{Path, PathBuf},
};

/// After so many questions about one folder it is listed.
const OFTEN: u32 = 16;
/// Longer lists cost more than they save.
const LONGEST: usize = 4_096;

/// What was seen while one workflow is planned.
#[derive(Debug, Default)]
pub(crate) struct Sightings(RefCell<BTreeMap<PathBuf, Folder>>);

#[derive(Debug)]
enum Folder {
    Asked(u32),
    Listed(BTreeMap<OsString, FileType>),
    /// It is too long, or cannot be read.
    Unlisted,
}

/// What a list says about a name.
enum Entry {
    Kind(FileType),
    Absent,
    Unknown,
}

impl Sightings {
    /// Whether a path leads to a folder. What a list does not name is asked of the disk: the key depends on the answer, and
    /// some file systems know a name by more than one spelling.
    pub(super) fn is_folder(&self, path: &Path) -> bool {
        match self.entry(path) {
            Entry::Kind(kind) => kind.is_dir(),
            Entry::Absent | Entry::Unknown => path.is_dir(),
        }
    }

    /// Whether a path leads to a file.
    pub(super) fn is_file(&self, path: &Path) -> bool {
        match self.entry(path) {
            Entry::Kind(kind) => kind.is_file(),
            Entry::Absent => false,
            Entry::Unknown => path.is_file(),
        }
    }

    fn entry(&self, path: &Path) -> Entry {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Entry::Unknown };
        let mut folders = self.0.borrow_mut();
        let Some(folder) = folders.get_mut(parent) else {
            folders.insert(parent.to_owned(), Folder::Asked(1));
            return Entry::Unknown;
        };
        if let Folder::Asked(times) = folder {
            *times += 1;
            if *times < OFTEN {
                return Entry::Unknown;
            }
            *folder = list(parent).map_or(Folder::Unlisted, Folder::Listed);
        }
        match folder {
            Folder::Listed(names) => match names.get(name) {
                // A link is what it leads to.
                Some(kind) if kind.is_symlink() => Entry::Unknown,
                Some(kind) => Entry::Kind(*kind),
                None => Entry::Absent,
            },
            Folder::Asked(_) | Folder::Unlisted => Entry::Unknown,
        }
    }
}

fn list(folder: &Path) -> Option<BTreeMap<OsString, FileType>> {
    let mut names = BTreeMap::new();
    for entry in fs::read_dir(folder).ok()? {
        let entry = entry.ok()?;
        names.insert(entry.file_name(), entry.file_type().ok()?);
        if names.len() > LONGEST {
            return None;
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_list_says_what_the_disk_says() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "x").unwrap();
        fs::create_dir(at("folder")).unwrap();
        symlink("file", at("to-file")).unwrap();
        symlink("folder", at("to-folder")).unwrap();
        symlink("nowhere", at("broken")).unwrap();
        let sightings = Sightings::default();
        for _ in 0..2 * OFTEN {
            for name in ["file", "folder", "to-file", "to-folder", "broken", "none", "none/file", "file/x", "."] {
                assert_eq!(sightings.is_file(&at(name)), at(name).is_file(), "{name}");
                assert_eq!(sightings.is_folder(&at(name)), at(name).is_dir(), "{name}");
            }
        }
        assert!(matches!(sightings.0.borrow().get(folder.path()), Some(Folder::Listed(_))));
    }

    #[test]
    fn a_long_folder_is_not_listed() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..=LONGEST {
            fs::write(folder.path().join(number.to_string()), "").unwrap();
        }
        let sightings = Sightings::default();
        for _ in 0..2 * OFTEN {
            assert!(sightings.is_file(&folder.path().join("7")) && !sightings.is_file(&folder.path().join("x")));
        }
        assert!(matches!(sightings.0.borrow().get(folder.path()), Some(Folder::Unlisted)));
    }
}
