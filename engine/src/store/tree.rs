//! Directory nodes: a folder as a value whose digest covers names, executable bits, links, and contents.
//!
//! Kept: names as bytes, the executable bit, empty folders, link texts. Dropped: times, owners, other mode bits. Nodes are
//! hashed under a context of their own, so no file can pass for a folder.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::PermissionsExt,
    },
    path::{Path, PathBuf},
};

use super::StoreError;
use crate::Digest;

const CONTEXT: &str = "flow.dev 2026-11 tree v1";

/// One folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// What it holds, by raw name.
    pub entries: BTreeMap<Vec<u8>, NodeEntry>,
}

/// One thing in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeEntry {
    /// A file.
    File {
        /// Digest of its content.
        digest: Digest,
        /// Its size.
        bytes: u64,
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// A folder.
    Folder {
        /// Digest of its node.
        digest: Digest,
    },
    /// A symbolic link.
    Link {
        /// Its text.
        target: Vec<u8>,
    },
}

impl Node {
    /// The node's digest.
    pub fn digest(&self) -> Digest {
        Digest::derive(CONTEXT, &self.encode())
    }

    /// Bytes that determine the node: every field is framed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&(self.entries.len() as u64).to_le_bytes());
        for (name, entry) in &self.entries {
            frame(&mut out, name);
            match entry {
                NodeEntry::File { digest, bytes, executable } => {
                    out.push(if *executable { b'x' } else { b'f' });
                    out.extend_from_slice(&bytes.to_le_bytes());
                    out.extend_from_slice(digest.as_bytes());
                }
                NodeEntry::Folder { digest } => {
                    out.push(b'd');
                    out.extend_from_slice(digest.as_bytes());
                }
                NodeEntry::Link { target } => {
                    out.push(b'l');
                    frame(&mut out, target);
                }
            }
        }
        out
    }

    /// Reads what [`Node::encode`] wrote; anything else is none.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let input = &mut bytes;
        let count = number(input)?;
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let name = framed(input).filter(|name| is_name(name))?.to_vec();
            let entry = match take(input, 1)? {
                [kind @ (b'f' | b'x')] => {
                    NodeEntry::File { bytes: number(input)?, digest: digest(input)?, executable: *kind == b'x' }
                }
                b"d" => NodeEntry::Folder { digest: digest(input)? },
                b"l" => NodeEntry::Link { target: framed(input)?.to_vec() },
                _ => return None,
            };
            entries.insert(name, entry);
        }
        input.is_empty().then_some(Self { entries })
    }
}

/// Whether bytes can be the name of something in a folder: a node from elsewhere must not lead out of the folder that it is
/// laid out in.
fn is_name(bytes: &[u8]) -> bool {
    !matches!(bytes, b"" | b"." | b"..") && !bytes.iter().any(|byte| matches!(byte, b'/' | 0))
}

fn frame(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take<'a>(input: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, rest) = input.split_at_checked(count)?;
    *input = rest;
    Some(head)
}

fn number(input: &mut &[u8]) -> Option<u64> {
    take(input, 8)?.try_into().ok().map(u64::from_le_bytes)
}

fn framed<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(input)?).ok()?;
    take(input, length)
}

fn digest(input: &mut &[u8]) -> Option<Digest> {
    take(input, 32)?.try_into().ok().map(Digest::from_bytes)
}

/// A folder as found on disk, before its files are hashed.
pub(crate) enum Found {
    /// A file; its place in [`Listing::files`].
    File { index: usize, executable: bool },
    /// A folder.
    Folder(BTreeMap<Vec<u8>, Self>),
    /// A link inside the artifact.
    Link(Vec<u8>),
}

/// Everything below a folder.
pub(crate) struct Listing {
    /// Every file, in order of discovery.
    pub(crate) files: Vec<PathBuf>,
    /// The folder's shape.
    pub(crate) root: BTreeMap<Vec<u8>, Found>,
}

/// What a walk does with symbolic links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// They are kept as links and must stay inside: for artifacts.
    Keep,
    /// They count as what they lead to: for sources, which are only read.
    Follow,
}

/// Folders within folders; a link to a parent would lead in a circle.
const DEEPEST: usize = 256;

/// Walks a folder and refuses what cannot be an artifact.
pub(crate) fn list(root: &Path, links: Links) -> Result<Listing, StoreError> {
    let mut files = Vec::new();
    let at = root;
    let root = walk(at, (0, links), &mut files)?;
    super::symlinks::check(&root, at)?;
    Ok(Listing { files, root })
}

fn walk(folder: &Path, (depth, links): (usize, Links), files: &mut Vec<PathBuf>) -> Result<BTreeMap<Vec<u8>, Found>, StoreError> {
    if depth > DEEPEST {
        return Err(StoreError::Unsupported { path: folder.to_owned(), reason: "its folders are nested too deeply" });
    }
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(StoreError::io("list", folder))? {
        let entry = entry.map_err(StoreError::io("list", folder))?;
        let path = entry.path();
        let metadata = match links {
            Links::Keep => path.symlink_metadata(),
            Links::Follow => path.metadata(),
        };
        let metadata = metadata.map_err(StoreError::io("read", &path))?;
        let item = if metadata.is_dir() {
            Found::Folder(walk(&path, (depth + 1, links), files)?)
        } else if metadata.is_symlink() {
            let target = fs::read_link(&path).map_err(StoreError::io("read", &path))?;
            Found::Link(target.into_os_string().into_vec())
        } else if metadata.is_file() {
            files.push(path);
            Found::File { index: files.len() - 1, executable: metadata.permissions().mode() & 0o100 != 0 }
        } else {
            return Err(StoreError::Unsupported { path, reason: "it is neither a file, a folder, nor a link" });
        };
        found.insert(entry.file_name().as_bytes().to_vec(), item);
    }
    warn_of_folding(folder, found.keys().map(Vec::as_slice));
    Ok(found)
}

/// Says when two names of a folder are one on a file system that ignores case.
pub(crate) fn warn_of_folding<'a>(folder: &Path, names: impl Iterator<Item = &'a [u8]> + Clone) {
    for (one, other) in folding(names) {
        let (one, other) = (String::from_utf8_lossy(one), String::from_utf8_lossy(other));
        tracing::warn!(folder = %folder.display(), %one, %other, "Two names differ only in case; some systems keep only one of them.");
    }
}

/// Pairs of names that fold to one.
pub(crate) fn folding<'a>(names: impl Iterator<Item = &'a [u8]> + Clone) -> Vec<(&'a [u8], &'a [u8])> {
    // Names without a capital letter fold to themselves.
    if names.clone().all(|name| name.is_ascii() && !name.iter().any(u8::is_ascii_uppercase)) {
        return Vec::new();
    }
    let mut folded: BTreeMap<String, &[u8]> = BTreeMap::new();
    let mut pairs = Vec::new();
    // A name that is not text has no case.
    for (text, name) in names.filter_map(|name| Some((std::str::from_utf8(name).ok()?, name))) {
        if let Some(earlier) = folded.insert(text.to_lowercase(), name) {
            pairs.push((earlier, name));
        }
    }
    pairs
}

/// Nodes of a listing bottom-up, the root last, and the content bytes in all. `hashed` answers for [`Listing::files`].
pub(crate) fn nodes(listing: &Listing, hashed: &[(Digest, u64)]) -> (Vec<Node>, u64) {
    let mut out = Vec::new();
    let bytes = fold(&listing.root, hashed, &mut out).1;
    (out, bytes)
}

fn fold(found: &BTreeMap<Vec<u8>, Found>, hashed: &[(Digest, u64)], out: &mut Vec<Node>) -> (Digest, u64) {
    let mut node = Node::default();
    let mut total = 0;
    for (name, item) in found {
        let entry = match item {
            Found::File { index, executable } => {
                let (digest, bytes) = hashed.get(*index).copied().expect("every listed file was hashed");
                total += bytes;
                NodeEntry::File { digest, bytes, executable: *executable }
            }
            Found::Folder(inner) => {
                let (digest, bytes) = fold(inner, hashed, out);
                total += bytes;
                NodeEntry::Folder { digest }
            }
            Found::Link(target) => NodeEntry::Link { target: target.clone() },
        };
        node.entries.insert(name.clone(), entry);
    }
    let digest = node.digest();
    out.push(node);
    (digest, total)
}

/// A raw name as the file system takes it.
pub(crate) fn name(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries() -> impl Strategy<Value = NodeEntry> {
        let digest = any::<[u8; 32]>().prop_map(Digest::from_bytes);
        prop_oneof![
            (digest.clone(), any::<u64>(), any::<bool>()).prop_map(|(digest, bytes, executable)| NodeEntry::File {
                digest,
                bytes,
                executable
            }),
            digest.prop_map(|digest| NodeEntry::Folder { digest }),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(|target| NodeEntry::Link { target }),
        ]
    }

    fn nodes() -> impl Strategy<Value = Node> {
        let names = prop::collection::vec(any::<u8>(), 1..20).prop_filter("no name of a file", |name| is_name(name));
        prop::collection::btree_map(names, entries(), 0..8).prop_map(|entries| Node { entries })
    }

    proptest! {
        #[test]
        fn a_node_is_read_as_it_was_written(node in nodes()) {
            prop_assert_eq!(Node::decode(&node.encode()), Some(node));
        }

        #[test]
        fn different_nodes_have_different_digests(one in nodes(), other in nodes()) {
            prop_assert_eq!(one == other, one.digest() == other.digest());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(node) = Node::decode(&bytes) {
                prop_assert!(node.entries.len() <= bytes.len());
            }
        }
    }

    #[test]
    fn a_node_whose_names_lead_elsewhere_is_none() {
        for name in ["", ".", "..", "../x", "/etc/x", "a/b", "a\0b"] {
            let entries = BTreeMap::from([(name.as_bytes().to_vec(), NodeEntry::Link { target: b"x".to_vec() })]);
            assert_eq!(Node::decode(&Node { entries }.encode()), None, "{name:?}");
        }
    }

    #[test]
    fn names_that_differ_only_in_case_are_told() {
        let names: Vec<Vec<u8>> =
            ["README", "Readme", "ÄRGER", "ärger", "other"].iter().map(|name| name.as_bytes().to_vec()).collect();
        let found = folding(names.iter().map(Vec::as_slice));
        assert_eq!(found, [("README".as_bytes(), "Readme".as_bytes()), ("ÄRGER".as_bytes(), "ärger".as_bytes())]);
        let raw = [vec![0xff], vec![0xfe]];
        assert!(folding(raw.iter().map(Vec::as_slice)).is_empty());
    }

    #[test]
    fn a_file_cannot_pass_for_a_folder() {
        let node = Node::default();
        assert_ne!(node.digest(), Digest::of(&node.encode()));
    }
}
