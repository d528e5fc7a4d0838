//! Files by pattern: `*`, `?`, `[a-z]`, and `**`, on names as bytes. A folder that matches stands for everything below it.
//!
//! Leans on `glob` for what one part of a pattern matches and not for the walk, which would leave out names that are not text.

use std::{
    ffi::{OsStr, OsString},
    io,
    mem::MaybeUninit,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use glob::{Pattern, PatternError};
use rustix::fs::{CWD, FileType, Mode, OFlags, RawDir, openat};

use super::{StoreError, tree};

/// Folders within folders; a link to a parent would lead in a circle.
const DEEPEST: usize = 256;
/// Bytes of a folder's list that are read at once.
const LISTED: usize = 8_192;

/// One part of a pattern, between slashes.
enum Part {
    /// A name as it is.
    Name(String),
    /// What matches within one folder.
    Matching(Pattern),
    /// Any folders, or none.
    Anywhere,
}

/// Files found, in the order of their raw names, which are relative to the base where they lie below it.
pub(super) type Files = Vec<(Vec<u8>, PathBuf)>;

/// Finds the files that match. The error of a pattern that cannot be understood comes first.
pub(super) fn find(pattern: &str, base: &Path) -> Result<Result<Files, StoreError>, PatternError> {
    Pattern::new(pattern)?;
    // A plain path needs one look at the disk and not one at every folder above it.
    let plain = base.join(pattern);
    if !pattern.contains(['*', '?', '[']) && !pattern.contains("./") && plain.is_file() {
        let name = plain.strip_prefix(base).unwrap_or(&plain).as_os_str().as_bytes().to_vec();
        return Ok(Ok(Files::from([(name, plain)])));
    }
    let start = if pattern.starts_with('/') { PathBuf::from("/") } else { base.to_owned() };
    let mut walk = Walk { base, files: Files::new() };
    let walked = walk.follow(&start, &parts(pattern)?, 0);
    Ok(walked.map(|()| walk.found()))
}

fn parts(pattern: &str) -> Result<Vec<Part>, PatternError> {
    let mut parts = Vec::new();
    for part in pattern.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match (part, parts.last_mut()) {
            ("**", _) => parts.push(Part::Anywhere),
            (part, _) if part.contains(['*', '?', '[']) => parts.push(Part::Matching(Pattern::new(part)?)),
            // Names in a row are one path.
            (part, Some(Part::Name(path))) => {
                path.push('/');
                path.push_str(part);
            }
            (part, _) => parts.push(Part::Name(part.to_owned())),
        }
    }
    Ok(parts)
}

/// One thing in a folder.
struct Entry {
    name: OsString,
    kind: FileType,
}

struct Walk<'a> {
    base: &'a Path,
    files: Files,
}

impl Walk<'_> {
    /// What was found, each file once.
    fn found(mut self) -> Files {
        self.files.sort_unstable();
        self.files.dedup_by(|one, other| one.0 == other.0);
        self.files
    }

    fn follow(&mut self, place: &Path, parts: &[Part], depth: usize) -> Result<(), StoreError> {
        match parts {
            [] | [Part::Anywhere] => self.take(place, depth),
            [Part::Name(name), rest @ ..] => {
                let place = place.join(name);
                // What lists a folder sees by itself whether there is one.
                let lists = matches!(rest, [Part::Matching(_), ..] | [Part::Anywhere, _, ..]);
                if lists || place.symlink_metadata().is_ok() { self.follow(&place, rest, depth) } else { Ok(()) }
            }
            [Part::Matching(pattern), rest @ ..] => self.matching(place, &list(place)?, (pattern, rest, depth)),
            // Everything in it, and so everything below it.
            [Part::Anywhere, Part::Matching(pattern)] if pattern.as_str() == "*" => {
                self.matching(place, &list(place)?, (pattern, &[], depth))
            }
            [Part::Anywhere, rest @ ..] => {
                deep_enough(place, depth)?;
                let entries = list(place)?;
                match rest {
                    [Part::Matching(pattern), rest @ ..] => self.matching(place, &entries, (pattern, rest, depth))?,
                    rest => self.follow(place, rest, depth)?,
                }
                // A link to a folder is followed where it is named, and not where a pattern happens to come by.
                for entry in entries.iter().filter(|entry| entry.kind.is_dir()) {
                    self.follow(&place.join(&entry.name), parts, depth + 1)?;
                }
                Ok(())
            }
        }
    }

    fn matching(
        &mut self,
        place: &Path,
        entries: &[Entry],
        (pattern, rest, depth): (&Pattern, &[Part], usize),
    ) -> Result<(), StoreError> {
        // A byte that belongs to no character counts as one.
        let matches = |entry: &&Entry| pattern.matches(&entry.name.to_string_lossy());
        let found = entries.iter().filter(matches);
        if rest.is_empty() {
            return self.take_entries(place, found, depth);
        }
        for entry in found {
            let path = place.join(&entry.name);
            if path.is_dir() {
                self.follow(&path, rest, depth)?;
            }
        }
        Ok(())
    }

    /// A file, or every file below a folder.
    fn take(&mut self, place: &Path, depth: usize) -> Result<(), StoreError> {
        let metadata = place.metadata().map_err(StoreError::io("read", place))?;
        if metadata.is_dir() {
            return self.take_folder(place, depth);
        }
        let name = self.name(place);
        self.take_file((name, place.to_owned()), FileType::from_raw_mode(metadata.mode()))
    }

    fn take_folder(&mut self, place: &Path, depth: usize) -> Result<(), StoreError> {
        deep_enough(place, depth)?;
        self.take_entries(place, list(place)?.iter(), depth + 1)
    }

    fn take_entries<'a>(
        &mut self,
        place: &Path,
        entries: impl Iterator<Item = &'a Entry>,
        depth: usize,
    ) -> Result<(), StoreError> {
        let mut folder = self.name(place);
        if !folder.is_empty() && !folder.ends_with(b"/") {
            folder.push(b'/');
        }
        for Entry { name, kind } in entries {
            let path = place.join(name);
            if kind.is_dir() {
                self.take_folder(&path, depth)?;
            } else if kind.is_symlink() {
                self.take(&path, depth)?;
            } else {
                self.take_file(([&folder, name.as_bytes()].concat(), path), *kind)?;
            }
        }
        Ok(())
    }

    fn take_file(&mut self, file: (Vec<u8>, PathBuf), kind: FileType) -> Result<(), StoreError> {
        if !kind.is_file() {
            let reason = "it is neither a file, a folder, nor a link";
            return Err(StoreError::Unsupported { path: file.1, reason });
        }
        self.files.push(file);
        Ok(())
    }

    /// The raw name of a place relative to the base, or all of it.
    fn name(&self, place: &Path) -> Vec<u8> {
        place.strip_prefix(self.base).unwrap_or(place).as_os_str().as_bytes().to_vec()
    }
}

fn deep_enough(place: &Path, depth: usize) -> Result<(), StoreError> {
    if depth <= DEEPEST {
        return Ok(());
    }
    Err(StoreError::Unsupported { path: place.to_owned(), reason: "its folders are nested too deeply" })
}

/// What lies in a folder; nothing where there is none.
fn list(folder: &Path) -> Result<Vec<Entry>, StoreError> {
    let opened = openat(CWD, folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let opened = match opened.map_err(io::Error::from) {
        Ok(opened) => opened,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("list", folder)(error)),
    };
    let mut found = Vec::new();
    // Most folders are small: no large buffer is made for each.
    let mut buffer = [MaybeUninit::uninit(); LISTED];
    let mut entries = RawDir::new(&opened, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(|error| StoreError::io("list", folder)(error.into()))?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            let kind = kind_of((folder, name), entry.file_type())?;
            found.push(Entry { name: name.to_owned(), kind });
        }
    }
    tree::warn_of_folding(folder, found.iter().map(|entry| entry.name.as_bytes()));
    Ok(found)
}

/// What an entry is; not every file system says it in the list.
fn kind_of((folder, name): (&Path, &OsStr), told: FileType) -> Result<FileType, StoreError> {
    if told != FileType::Unknown {
        return Ok(told);
    }
    let path = folder.join(name);
    let metadata = path.symlink_metadata().map_err(StoreError::io("read", &path))?;
    Ok(FileType::from_raw_mode(metadata.mode()))
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, fs, os::unix::ffi::OsStringExt, process::Command};

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
            found.into_iter().map(|(name, _)| String::from_utf8_lossy(&name).into_owned()).collect()
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
            ("deep/**/*", &["deep/c.txt", "deep/deeper/d.txt"]),
            ("deep/**/deep*", &["deep/deeper/d.txt"]),
            ("deep/deeper/*", &["deep/deeper/d.txt"]),
            ("d*", &["deep/c.txt", "deep/deeper/d.txt"]),
            ("*/c.txt", &["deep/c.txt"]),
            ("od[[]d]/*", &["od[d]/e.txt"]),
            ("none/*.txt", &[]),
            ("none/**/*", &[]),
            ("a.txt/**/*", &[]),
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
        assert_eq!(
            found.into_iter().map(|(name, _)| name).collect::<Vec<_>>(),
            [vec![b'x', 0xfe, b'.', b'b'], vec![b'x', 0xff, b'.', b'b']]
        );
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
