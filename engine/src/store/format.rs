//! The mark of a store: its format, its hash, and the features a reader must know. Nothing is written over a folder without it.

use std::{fs, io, path::Path};

use super::{StoreError, files};

/// The format this flow reads and writes.
const VERSION: u32 = 1;
const HASH: &str = "blake3";
/// Features that change how the store is read; none yet. A bit we do not know means that we would read it wrongly.
const FEATURES: u64 = 0;

/// What a `FORMAT` file says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Format {
    version: u32,
    hash: String,
    features: u64,
}

impl Format {
    fn current() -> Self {
        Self { version: VERSION, hash: HASH.to_owned(), features: FEATURES }
    }

    fn render(&self) -> String {
        format!("flow store {} {} {:#x}\n", self.version, self.hash, self.features)
    }

    /// Reads the mark; none when it is not one. The first stores said nothing of features.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix("flow store ")?.split_whitespace();
        let version = words.next()?.parse().ok()?;
        let hash = words.next().unwrap_or_default().to_owned();
        let features = match words.next() {
            Some(bits) => u64::from_str_radix(bits.strip_prefix("0x")?, 16).ok()?,
            None => 0,
        };
        Some(Self { version, hash, features })
    }

    fn is_known(&self) -> bool {
        self.version == VERSION && self.hash == HASH && self.features & !FEATURES == 0
    }
}

/// Whether a folder is a store already. Another format, or something that is no store, is an error.
pub(super) fn check(root: &Path, folders: &[&str]) -> Result<Presence, StoreError> {
    let place = root.join("FORMAT");
    match fs::read(&place) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            match Format::parse(&text) {
                Some(format) if format.is_known() => Ok(Presence::Store),
                Some(_) => Err(StoreError::Format {
                    path: root.to_owned(),
                    found: text.trim().to_owned(),
                    known: Format::current().render().trim().to_owned(),
                }),
                None => Err(foreign(root, "its FORMAT file is not that of a store")),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => vacant(root, folders),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(foreign(root, "it is not a folder")),
        Err(error) => Err(StoreError::io("read", &place)(error)),
    }
}

/// What is found where a store should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// A store.
    Store,
    /// Nothing, or what an interrupted first start left.
    Vacant,
}

fn vacant(root: &Path, folders: &[&str]) -> Result<Presence, StoreError> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Presence::Vacant),
        Err(error) => return Err(StoreError::io("list", root)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(StoreError::io("list", root))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // A file system of its own comes with this folder.
        let ours = folders.contains(&name.as_str()) || name.starts_with("FORMAT.") || name == "lost+found";
        if !ours {
            return Err(foreign(root, "it holds other things"));
        }
    }
    Ok(Presence::Vacant)
}

fn foreign(root: &Path, reason: &'static str) -> StoreError {
    StoreError::Foreign { path: root.to_owned(), reason }
}

/// Marks a folder as a store; the last step of making one.
pub(super) fn mark(root: &Path) -> Result<(), StoreError> {
    files::write_atomic(Format::current().render().as_bytes(), &root.join("FORMAT"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn a_mark_is_read_as_written_and_so_is_that_of_the_first_stores() {
        assert_eq!(Format::parse(&Format::current().render()), Some(Format::current()));
        assert_eq!(Format::parse("flow store 1 blake3\n"), Some(Format::current()));
        for unknown in ["flow store 2 blake3 0x0\n", "flow store 1 sha256 0x0\n", "flow store 1 blake3 0x4\n"] {
            assert!(Format::parse(unknown).is_some_and(|format| !format.is_known()), "{unknown}");
        }
        for none in ["", "flow store", "flow store x blake3", "flow store 1 blake3 4", "something else"] {
            assert_eq!(Format::parse(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_not_a_store_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("data");
        fs::create_dir(&place).unwrap();
        fs::write(place.join("thesis.txt"), "words").unwrap();
        assert!(matches!(Store::open(&place), Err(StoreError::Foreign { .. })));
        assert!(matches!(Store::open(&place.join("thesis.txt")), Err(StoreError::Foreign { .. })));
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
        fs::write(place.join("FORMAT"), "zip\n").unwrap();
        assert!(matches!(Store::open(&place), Err(StoreError::Foreign { .. })));
        assert_eq!(fs::read_to_string(place.join("FORMAT")).unwrap(), "zip\n");
    }

    #[test]
    fn a_store_of_another_format_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["flow store 9 blake3 0x0\n", "flow store 1 blake3 0x8\n"] {
            fs::write(folder.path().join("FORMAT"), text).unwrap();
            assert!(matches!(Store::open(folder.path()), Err(StoreError::Format { .. })));
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn an_interrupted_first_start_is_finished_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("cas")).unwrap();
        fs::write(folder.path().join("FORMAT.01ABC.tmp"), "flow st").unwrap();
        Store::open(folder.path()).unwrap();
        assert!(folder.path().join("FORMAT").is_file());
    }
}
