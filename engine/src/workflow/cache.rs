//! Trees of large files as they were parsed before: to parse YAML takes longer than everything else about planning.
//!
//! A tree is found by the content of its file and by the program that parsed it, and nothing else of it is believed: what is
//! torn, or was written by another build, counts as missing. Only trees without problems are kept, one for each file.

mod codec;

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Node, Problems, SourceText, parse};
use crate::{
    Digest,
    project::Project,
    store::{StoreError, write_lightly},
};

/// Smaller files are parsed faster than anybody notices.
const LARGE: usize = 64 << 10;
const CONTEXT: &str = "flow.dev 2026-11 parsed tree v1";
const CHECK: usize = 32;

/// The trees that a project keeps.
#[derive(Debug, Default)]
pub(crate) struct TreeCache {
    /// Made when something is kept first, but only in a project that keeps state already: to look at a workflow writes nothing.
    folder: Option<PathBuf>,
}

impl TreeCache {
    /// The trees of a project.
    pub(crate) fn of(project: &Project) -> Self {
        let state = project.state.join("state");
        Self { folder: state.is_dir().then(|| state.join("parsed")) }
    }

    /// The tree of a file: as it was parsed before, or parsed now.
    pub(super) fn tree(&self, file: &Arc<SourceText>, problems: &mut Problems) -> Option<Node> {
        let Some(folder) = self.folder.as_ref().filter(|_| file.text().len() >= LARGE) else { return parse(file, problems) };
        let place = folder.join(Digest::of(file.name().as_bytes()).to_string());
        let identity = identity(file.text());
        let known = fs::read(&place).ok().and_then(|bytes| opened(&bytes, (&identity, file.text())));
        if known.is_some() {
            return known;
        }
        let before = problems.count();
        let tree = parse(file, problems)?;
        if problems.count() == before
            && let Some(bytes) = sealed(&tree, (&identity, file.text()))
            && let Err(error) = keep(&bytes, (folder, &place))
        {
            tracing::debug!(%error, "Could not keep a parsed file.");
        }
        Some(tree)
    }
}

fn keep(bytes: &[u8], (folder, place): (&Path, &Path)) -> Result<(), StoreError> {
    fs::create_dir_all(folder).map_err(StoreError::io("create", folder))?;
    write_lightly(bytes, place)
}

/// What a tree depends on: the text, and the program that reads it.
fn identity(text: &str) -> Digest {
    let program = std::env::current_exe().and_then(fs::metadata);
    let program = program.map(|seen| [seen.dev(), seen.ino(), seen.size(), seen.mtime().cast_unsigned()]).unwrap_or_default();
    let mut bytes: Vec<u8> = program.iter().flat_map(|number| number.to_le_bytes()).collect();
    bytes.extend_from_slice(Digest::of(text.as_bytes()).as_bytes());
    Digest::derive(CONTEXT, &bytes)
}

/// A tree as bytes, after its identity and before their check; none for one that cannot be written.
fn sealed(tree: &Node, (identity, text): (&Digest, &str)) -> Option<Vec<u8>> {
    let mut bytes = identity.as_bytes().to_vec();
    codec::write(tree, text, &mut bytes)?;
    let check = blake3::hash(&bytes);
    bytes.extend_from_slice(check.as_bytes());
    Some(bytes)
}

/// What [`sealed`] made, if it is whole and of this identity.
fn opened(bytes: &[u8], (identity, text): (&Digest, &str)) -> Option<Node> {
    let (content, check) = bytes.split_last_chunk::<CHECK>()?;
    let tree = content.strip_prefix(identity.as_bytes().as_slice())?;
    if blake3::hash(content).as_bytes() != check {
        return None;
    }
    codec::read(tree, text)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn text(stages: usize) -> String {
        (0..stages).fold("stages:\n".to_owned(), |mut text, stage| {
            writeln!(text, "  s{stage}:\n    uses: toy/emit@1\n    run: [sh, \"a\\tb\", 'é', {stage}]").unwrap();
            text
        })
    }

    fn tree(cache: &TreeCache, text: &str) -> Result<Node, usize> {
        let mut problems = Problems::default();
        let node = cache.tree(&SourceText::new("/p/workflow.yaml", text), &mut problems);
        node.filter(|_| problems.is_empty()).ok_or_else(|| problems.count())
    }

    #[test]
    fn a_tree_is_kept_for_its_text_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, plain) = (TreeCache { folder: Some(folder.path().join("parsed")) }, TreeCache::default());
        let large = text(2_000);
        let edited = large.replace("[sh, ", "[sx, ");
        assert!(large.len() >= LARGE);
        for text in [&large, &large, &edited, &large, &edited, &edited] {
            assert_eq!(tree(&cache, text), tree(&plain, text));
            assert_eq!(fs::read_dir(folder.path().join("parsed")).unwrap().count(), 1);
        }
        let kept = fs::read_dir(folder.path().join("parsed")).unwrap().next().unwrap().unwrap().path();
        let whole = fs::read(&kept).unwrap();
        assert_eq!(opened(&whole, (&identity(&edited), &edited)), tree(&plain, &edited).ok());
        assert_eq!(opened(&whole, (&identity(&large), &large)), None);
        // What is torn or damaged is parsed anew, and kept again.
        for damaged in [&whole[..0], &whole[..40], &whole[..whole.len() - 1], &[&whole[..], b"x"].concat()] {
            fs::write(&kept, damaged).unwrap();
            assert_eq!(tree(&cache, &edited), tree(&plain, &edited));
            assert_eq!(fs::read(&kept).unwrap(), whole);
        }
        for at in [0, 33, whole.len() / 2, whole.len() - 1] {
            let mut wrong = whole.clone();
            wrong[at] ^= 1;
            assert_eq!(opened(&wrong, (&identity(&edited), &edited)), None, "{at}");
        }
    }

    #[test]
    fn problems_are_told_each_time_and_small_files_are_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TreeCache { folder: Some(folder.path().join("parsed")) };
        let twice = format!("{}stages: {{}}\n", text(2_000));
        assert_eq!((tree(&cache, &twice), tree(&cache, &twice)), (Err(1), Err(1)));
        assert!(tree(&cache, &text(2)).is_ok());
        assert!(!folder.path().join("parsed").exists());
    }
}
