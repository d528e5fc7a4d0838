//! Whether the store is what it says: results name what exists, and objects hold what their names promise.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    Flaw, Scrutiny, Store, StoreError, files,
    gc::{Marked, named, sharded},
};
use crate::Digest;

/// How much of the store is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Depth {
    /// Sizes and times of everything that results name.
    Quick,
    /// Every byte.
    Full,
    /// Sizes and times, and the bytes of this share of the objects, another one every time.
    Sample(f64),
}

/// A result that cannot be used any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostResult {
    /// The action key.
    pub key: Digest,
    /// The kind of stage.
    pub kind: String,
    /// The object it lacks.
    pub digest: Digest,
    /// What is wrong with that.
    pub reason: String,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Results that were looked at.
    pub results: u64,
    /// Objects that results name.
    pub objects: u64,
    /// Objects whose bytes were read.
    pub read: u64,
    /// How much that was.
    pub read_bytes: u64,
    /// Objects that were damaged; they are in quarantine.
    pub damaged: Vec<Damage>,
    /// Results that named something missing or damaged; they are made again when they are needed.
    pub lost: Vec<LostResult>,
}

/// One object that was not what its name said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The object.
    pub digest: Digest,
    /// What was wrong.
    pub reason: String,
}

impl Verified {
    /// Whether nothing was wrong.
    pub fn is_clean(&self) -> bool {
        self.damaged.is_empty() && self.lost.is_empty()
    }
}

impl Store {
    /// Looks for damage, sets it aside, and says which results are lost by it.
    pub fn verify(&self, depth: Depth) -> Result<Verified, StoreError> {
        let mut verified = Verified::default();
        self.read_objects(depth, &mut verified)?;
        let mut marked = Marked::default();
        for path in sharded(&self.root().join("ac"))? {
            let Some(key) = named(&path) else { continue };
            let Some(result) = self.actions().peek(&key)? else { continue };
            verified.results += 1;
            marked.add_result(self, &result);
            for artifact in result.outputs.values() {
                if let Some(Flaw { digest, reason }) = self.cas().flaw(artifact, Scrutiny::Stat)? {
                    self.actions().set_aside(&key)?;
                    verified.lost.push(LostResult { key, kind: result.kind.clone(), digest, reason });
                    break;
                }
            }
        }
        verified.objects = (marked.blobs.len() + marked.nodes.len()) as u64;
        // What a result found damaged was damaged, too.
        let found = verified.lost.iter().filter(|lost| lost.reason != "it is missing");
        let found = found.map(|lost| Damage { digest: lost.digest, reason: lost.reason.clone() });
        let known: BTreeMap<Digest, Damage> =
            verified.damaged.drain(..).chain(found.collect::<Vec<_>>()).map(|damage| (damage.digest, damage)).collect();
        verified.damaged = known.into_values().collect();
        Ok(verified)
    }

    fn read_objects(&self, depth: Depth, verified: &mut Verified) -> Result<(), StoreError> {
        let share = match depth {
            Depth::Quick => return Ok(()),
            Depth::Full => 1.0,
            Depth::Sample(share) => share,
        };
        let draw = Draw { share, salt: ulid::Ulid::new().to_string() };
        let blobs: Vec<(Digest, u64)> = sharded(&self.root().join("cas"))?
            .iter()
            .filter_map(|path| Some((named(path)?, path.symlink_metadata().ok()?.len())))
            .filter(|(digest, _)| draw.takes(digest))
            .collect();
        let flaws = files::parallel(&blobs, |(digest, bytes)| self.cas().blob_flaw(digest, *bytes, Scrutiny::Bytes))?;
        verified.read += blobs.len() as u64;
        verified.read_bytes += blobs.iter().map(|(_, bytes)| bytes).sum::<u64>();
        let nodes: BTreeSet<Digest> =
            sharded(&self.root().join("tree"))?.iter().filter_map(|path| named(path)).filter(|node| draw.takes(node)).collect();
        verified.read += nodes.len() as u64;
        let damaged = flaws.into_iter().flatten().filter(|flaw| flaw.reason != "it is missing");
        verified.damaged.extend(damaged.map(|flaw| Damage { digest: flaw.digest, reason: flaw.reason }));
        for node in nodes {
            if let Err(StoreError::Damaged { digest, reason }) = self.cas().node(&node) {
                self.cas().set_aside(&self.cas().node_path(&digest), &digest, (None, &reason))?;
                verified.damaged.push(Damage { digest, reason });
            }
        }
        Ok(())
    }
}

/// Which objects a sample takes.
struct Draw {
    share: f64,
    salt: String,
}

impl Draw {
    fn takes(&self, digest: &Digest) -> bool {
        let [a, b, c, d, ..] = *Digest::of(format!("{}{digest}", self.salt).as_bytes()).as_bytes();
        f64::from(u32::from_le_bytes([a, b, c, d])) < self.share * (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::{
        ArtifactKind,
        store::{ActionResult, Staged, cas::BLOB_MODE},
    };

    /// A store with one result of two files.
    fn store() -> (tempfile::TempDir, Store, Digest) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let path = folder.path().join("out");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("a"), "abc").unwrap();
        fs::write(path.join("b"), "defg").unwrap();
        let artifact = store.cas().ingest(&[Staged { path, kind: ArtifactKind::Dir }]).unwrap().remove(0);
        let mut result = ActionResult::new(Digest::of(b"key"), "toy/emit");
        result.outputs.insert("out".to_owned(), artifact);
        store.actions().put(&result).unwrap();
        (folder, store, result.key)
    }

    fn rot(store: &Store, text: &str, by: &str) {
        let blob = store.cas().path(&Digest::of(text.as_bytes()));
        fs::set_permissions(&blob, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&blob, by).unwrap();
        // As a failing disk would: nothing but the bytes has changed.
        files::seal(&blob, BLOB_MODE).unwrap();
    }

    #[test]
    fn a_whole_store_is_clean_at_every_depth() {
        let (_folder, store, _) = store();
        for depth in [Depth::Quick, Depth::Full, Depth::Sample(0.5)] {
            let verified = store.verify(depth).unwrap();
            assert!(verified.is_clean());
            assert_eq!((verified.results, verified.objects), (1, 3));
        }
        assert_eq!(store.verify(Depth::Full).unwrap().read_bytes, 7);
        assert_eq!(store.verify(Depth::Sample(0.0)).unwrap().read, 0);
    }

    /// R5: a damaged object of the right size, mode, and time.
    #[test]
    fn rot_is_found_by_reading_and_costs_the_results_that_need_it() {
        let (_folder, store, key) = store();
        rot(&store, "abc", "abX");
        assert!(store.verify(Depth::Quick).unwrap().is_clean());
        let verified = store.verify(Depth::Full).unwrap();
        assert_eq!(verified.damaged.len(), 1);
        assert_eq!((verified.lost[0].key, verified.lost[0].digest), (key, Digest::of(b"abc")));
        assert_eq!(store.actions().peek(&key).unwrap(), None);
        let quarantine: Vec<String> = fs::read_dir(store.root().join("quarantine"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let report = quarantine.iter().find(|name| name.contains(".json")).unwrap();
        let report = fs::read_to_string(store.root().join("quarantine").join(report)).unwrap();
        assert!(report.contains(&Digest::of(b"abX").to_string()), "{report}");
        assert!(store.verify(Depth::Full).unwrap().is_clean());
    }

    #[test]
    fn a_missing_object_costs_its_result_at_once() {
        let (_folder, store, key) = store();
        fs::remove_file(store.cas().path(&Digest::of(b"defg"))).unwrap();
        let verified = store.verify(Depth::Quick).unwrap();
        assert_eq!((verified.lost.len(), verified.damaged.len()), (1, 0));
        assert_eq!(store.actions().peek(&key).unwrap(), None);
    }
}
