//! Files by pattern: `*`, `?`, `[a-z]`, and `**`, on names as bytes. A folder that matches stands for everything below it.
//!
//! Leans on `glob` for what one part of a pattern matches and not for the walk, which would leave out names that are not text.

use std::{
    collections::BTreeMap,
    fs::{self, FileType},
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use glob::{Pattern, PatternError};

use super::{StoreError, tree};

/// Folders within folders; a link to a parent would lead in a circle.
const DEEPEST: usize = 256;

/// One part of a pattern, between slashes.
enum Part {
    /// A name as it is.
    Name(String),
    /// What matches within one folder.
    Matching(Pattern),
    /// Any folders, or none.
    Anywhere,
}

/// Files found, by their raw name relative to the base where they lie below it.
pub(super) type Files = BTreeMap<Vec<u8>, PathBuf>;

/// Finds the files that match. The error of a pattern that cannot be understood comes first.
pub(super) fn find(pattern: &str, base: &Path) -> Result<Result<Files, StoreError>, PatternError> {
    Pattern::new(pattern)?;
    // A plain path needs one look at the disk and not one at every folder above it.
    let plain = base.join(pattern);
    if !pattern.contains(['*', '?', '[']) && !pattern.contains("./") && plain.is_file() {
        let name = plain.strip_prefix(base).unwrap_or(&plain).as_os_str().as_bytes().to_vec();
        return Ok(Ok(Files::from([(name, plain)])));
    }
    let mut parts = Vec::new();
    for part in pattern.split('/').filter(|part| !part.is_empty() && *part != ".") {
        parts.push(match part {
            "**" => Part::Anywhere,
            part if part.contains(['*', '?', '[']) => Part::Matching(Pattern::new(part)?),
            part => Part::Name(part.to_owned()),
        });
    }
    let start = if pattern.starts_with('/') { PathBuf::from("/") } else { base.to_owned() };
    let mut walk = Walk { base, files: Files::new() };
    Ok(walk.follow(&start, &parts, 0).map(|()| walk.files))
}

struct Walk<'a> {
    base: &'a Path,
    files: Files,
}

impl Walk<'_> {
    fn follow(&mut self, place: &Path, parts: &[Part], depth: usize) -> Result<(), StoreError> {
        let Some((part, rest)) = parts.split_first() else { return self.take(place, depth) };
        match part {
            Part::Name(name) => {
                let place = place.join(name);
                if place.symlink_metadata().is_ok() { self.follow(&place, rest, depth) } else { Ok(()) }
            }
            Part::Matching(pattern) => {
                for (path, _) in list(place)? {
                    // A byte that belongs to no character counts as one.
                    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    if pattern.matches(&name) && (rest.is_empty() || path.is_dir()) {
                        self.follow(&path, rest, depth)?;
                    }
                }
                Ok(())
            }
            Part::Anywhere if rest.is_empty() => self.take(place, depth),
            Part::Anywhere => {
                deep_enough(place, depth)?;
                self.follow(place, rest, depth)?;
                for (path, kind) in list(place)? {
                    // A link to a folder is followed where it is named, and not where a pattern happens to come by.
                    if kind.is_dir() {
                        self.follow(&path, parts, depth + 1)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// A file, or every file below a folder.
    fn take(&mut self, place: &Path, depth: usize) -> Result<(), StoreError> {
        let metadata = place.metadata().map_err(StoreError::io("read", place))?;
        self.take_as(place, metadata.file_type(), depth)
    }

    fn take_as(&mut self, place: &Path, kind: FileType, depth: usize) -> Result<(), StoreError> {
        if kind.is_symlink() {
            return self.take(place, depth);
        }
        if kind.is_dir() {
            deep_enough(place, depth)?;
            for (path, kind) in list(place)? {
                self.take_as(&path, kind, depth + 1)?;
            }
            return Ok(());
        }
        if !kind.is_file() {
            let reason = "it is neither a file, a folder, nor a link";
            return Err(StoreError::Unsupported { path: place.to_owned(), reason });
        }
        let name = place.strip_prefix(self.base).unwrap_or(place).as_os_str().as_bytes().to_vec();
        self.files.insert(name, place.to_owned());
        Ok(())
    }
}

fn deep_enough(place: &Path, depth: usize) -> Result<(), StoreError> {
    if depth <= DEEPEST {
        return Ok(());
    }
    Err(StoreError::Unsupported { path: place.to_owned(), reason: "its folders are nested too deeply" })
}

/// What lies in a folder; nothing where there is none.
fn list(folder: &Path) -> Result<Vec<(PathBuf, FileType)>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("list", folder)(error)),
    };
    let mut found = Vec::new();
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StoreError::io("list", folder))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(StoreError::io("read", &path))?;
        names.push(entry.file_name().as_bytes().to_vec());
        found.push((path, kind));
    }
    tree::warn_of_folding(folder, names.iter());
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt, process::Command};

    use super::*;

    struct Bench(tempfile::TempDir);

    impl Bench {
        fn new() -> Self {
            let bench = Self(tempfile::tempdir().unwrap());
            for name in ["a.txt", "b.csv", "deep/c.txt", "deep/deeper/d.txt", ".hidden", "od[d]/e.txt"] {
                let path = bench.0.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, name).unwrap();
            }
            bench
        }

        fn names(&self, pattern: &str) -> Vec<String> {
            let found = find(pattern, self.0.path()).unwrap().unwrap();
            found.into_keys().map(|name| String::from_utf8_lossy(&name).into_owned()).collect()
        }
    }

    #[test]
    fn patterns_match_as_usual() {
        let bench = Bench::new();
        for (pattern, wanted) in [
            ("a.txt", &["a.txt"][..]),
            ("./a.txt", &["a.txt"]),
            ("*.txt", &["a.txt"]),
            ("[ab].*", &["a.txt", "b.csv"]),
            ("?.csv", &["b.csv"]),
            ("**/*.txt", &["a.txt", "deep/c.txt", "deep/deeper/d.txt", "od[d]/e.txt"]),
            ("deep/**/d.txt", &["deep/deeper/d.txt"]),
            ("deep", &["deep/c.txt", "deep/deeper/d.txt"]),
            ("deep/**", &["deep/c.txt", "deep/deeper/d.txt"]),
            ("d*", &["deep/c.txt", "deep/deeper/d.txt"]),
            ("*/c.txt", &["deep/c.txt"]),
            ("od[[]d]/*", &["od[d]/e.txt"]),
            ("none/*.txt", &[]),
            ("a.txt/x", &[]),
        ] {
            assert_eq!(bench.names(pattern), wanted, "{pattern}");
        }
        assert!(find("a[", bench.0.path()).is_err());
        let absolute = bench.0.path().join("deep/c.txt");
        assert_eq!(bench.names(absolute.to_str().unwrap()), ["deep/c.txt"]);
    }

    /// The peers' pattern libraries leave such a file out, and a stage would silently read less than there is.
    #[test]
    fn names_that_are_not_text_are_found() {
        let bench = Bench::new();
        for byte in [0xfe, 0xff] {
            fs::write(bench.0.path().join(OsString::from_vec(vec![b'x', byte, b'.', b'b'])), [byte]).unwrap();
        }
        let found = find("x*.b", bench.0.path()).unwrap().unwrap();
        assert_eq!(found.into_keys().collect::<Vec<_>>(), [vec![b'x', 0xfe, b'.', b'b'], vec![b'x', 0xff, b'.', b'b']]);
    }

    #[test]
    fn links_are_followed_and_circles_end() {
        let bench = Bench::new();
        std::os::unix::fs::symlink("../a.txt", bench.0.path().join("deep/link")).unwrap();
        assert_eq!(bench.names("deep/l*"), ["deep/link"]);
        std::os::unix::fs::symlink(".", bench.0.path().join("deep/circle")).unwrap();
        assert_eq!(bench.names("**/c.txt"), ["deep/c.txt"]);
        assert!(matches!(find("deep", bench.0.path()).unwrap(), Err(StoreError::Unsupported { .. } | StoreError::Io { .. })));
    }

    /// Opening a pipe would wait for a writer for ever.
    #[test]
    fn a_pipe_is_refused() {
        let bench = Bench::new();
        assert!(Command::new("mkfifo").arg(bench.0.path().join("pipe")).status().unwrap().success());
        assert!(matches!(find("pipe", bench.0.path()).unwrap(), Err(StoreError::Unsupported { .. })));
    }
}
