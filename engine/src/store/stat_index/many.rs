//! Looks at many files at once. Below an open folder a name is found without a walk along the path from the root.

use std::{
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, statat};

use super::Stamp;
use crate::store::StoreError;

/// Fewer neighbours than this are not worth an open folder.
const WORTH: usize = 4;

/// The states of files, in order. Neighbours in the list that lie in one folder are looked up together.
pub(super) fn stamps(paths: &[PathBuf]) -> Result<Vec<Stamp>, StoreError> {
    let mut stamps = Vec::with_capacity(paths.len());
    for neighbours in paths.chunk_by(|one, other| folder(one) == folder(other)) {
        let open = if neighbours.len() < WORTH { None } else { neighbours.first().and_then(|first| open(first)) };
        for path in neighbours {
            stamps.push(match &open {
                Some(folder) => below(folder, path)?,
                None => Stamp::of(path)?,
            });
        }
    }
    Ok(stamps)
}

fn folder(path: &Path) -> &[u8] {
    let bytes = path.as_os_str().as_bytes();
    let end = bytes.iter().rposition(|byte| *byte == b'/').unwrap_or_default();
    bytes.get(..end).unwrap_or_default()
}

/// The folder of a file; none where it cannot be opened, so that whoever looks at the file says why.
fn open(path: &Path) -> Option<OwnedFd> {
    openat(CWD, path.parent()?, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
}

fn below(folder: &OwnedFd, path: &Path) -> Result<Stamp, StoreError> {
    let name = path.file_name().unwrap_or(path.as_os_str());
    let found = statat(folder, name, AtFlags::empty()).map_err(|error| StoreError::io("read", path)(error.into()))?;
    let nanoseconds = |rest| i64::try_from(rest).unwrap_or_default();
    Stamp::seen(
        (path, FileType::from_raw_mode(found.st_mode).is_file()),
        (found.st_dev, found.st_ino, found.st_size.cast_unsigned()),
        [(found.st_mtime, nanoseconds(found.st_mtime_nsec)), (found.st_ctime, nanoseconds(found.st_ctime_nsec))],
    )
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn files_look_the_same_from_near_and_far() {
        let folder = tempfile::tempdir().unwrap();
        let mut paths: Vec<PathBuf> = (0..WORTH + 2).map(|number| folder.path().join(format!("a/{number}"))).collect();
        paths.extend([folder.path().join("b/alone"), folder.path().join("a/link")]);
        for path in &paths {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        symlink("../b/alone", paths.last().unwrap()).unwrap();
        for (number, path) in paths.iter().enumerate() {
            fs::write(path, vec![b'x'; number]).unwrap();
        }
        let far: Vec<Stamp> = paths.iter().map(|path| Stamp::of(path).unwrap()).collect();
        assert_eq!(stamps(&paths).unwrap(), far);
        paths.sort();
        assert_eq!(stamps(&paths[..WORTH + 3]).unwrap().last(), far.last());
    }

    #[test]
    fn what_is_no_file_is_named_whole() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..=WORTH).map(|number| folder.path().join(number.to_string())).collect();
        for path in &paths {
            fs::write(path, "x").unwrap();
        }
        fs::remove_file(&paths[2]).unwrap();
        assert!(stamps(&paths).unwrap_err().to_string().contains(paths[2].to_str().unwrap()));
        fs::create_dir(&paths[2]).unwrap();
        let refused = stamps(&paths).unwrap_err();
        assert!(matches!(refused, StoreError::Unsupported { path, .. } if path == paths[2]));
    }
}
