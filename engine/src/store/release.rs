//! Letting go of objects whose only owner needs them no more, without a look at everything that is recorded.
//!
//! The owner knows which objects were not there before it, and every later use of one moves the change time of its file: a
//! result that finds the same bytes there touches them. What was used by anybody else stays and is the collector's concern.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{Pin, Store, StoreError, cas::shard, files, gc};
use crate::Digest;

/// Kinds of stored object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Object {
    Blob,
    Node,
}

impl Object {
    fn folder(self) -> &'static str {
        match self {
            Self::Blob => "cas",
            Self::Node => "tree",
        }
    }

    fn pin(self, digest: Digest) -> Pin {
        match self {
            Self::Blob => Pin::Blob(digest),
            Self::Node => Pin::Tree(digest),
        }
    }
}

impl Store {
    /// The change times of objects, by which a later use of one shows.
    pub(super) fn change_times(&self, objects: &BTreeSet<(Object, Digest)>) -> BTreeMap<Digest, i64> {
        let time = |(object, digest): &(Object, Digest)| Some((*digest, changed(&self.place(*object, digest))?));
        objects.iter().filter_map(time).collect()
    }

    fn place(&self, object: Object, digest: &Digest) -> PathBuf {
        shard(&self.root().join(object.folder()), digest)
    }

    /// Removes objects that nobody used since their owner looked at their change times. They go by way of the trash: somebody who
    /// found one there a moment ago said so in a lease before, and gets it back.
    pub(super) fn release(&self, objects: &BTreeMap<(Object, Digest), i64>) -> Result<(), StoreError> {
        let trash = self.root().join("trash").join(ulid::Ulid::new().to_string());
        let mut moved = BTreeSet::new();
        for ((object, digest), time) in objects {
            let path = self.place(*object, digest);
            if changed(&path) == Some(*time) {
                let folder = trash.join(object.folder());
                files::make_folder(&folder)?;
                fs::rename(&path, folder.join(digest.to_string())).map_err(StoreError::io("move", &path))?;
                moved.insert((*object, *digest));
            }
        }
        if moved.is_empty() {
            return Ok(());
        }
        let leases = self.leases().all()?;
        let pins: BTreeSet<Pin> = leases.into_iter().filter(|lease| lease.alive).flat_map(|lease| lease.pins).collect();
        for (object, digest) in moved.iter().filter(|(object, digest)| pins.contains(&object.pin(*digest))) {
            gc::rescue(self.root(), (object.folder(), digest))?;
        }
        files::remove_all(&trash).map_err(StoreError::io("remove", &trash))
    }
}

/// When a file was changed last, its links and its mode included, in nanoseconds since 1970. Asking for it makes the kernel give
/// the next change another time, however soon that is.
fn changed(path: &Path) -> Option<i64> {
    let metadata = path.symlink_metadata().ok()?;
    metadata.ctime().checked_mul(1_000_000_000)?.checked_add(metadata.ctime_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Bench;

    impl Bench {
        fn save(&self, step: u64, text: &str) {
            let folder = self.folder.path().join(format!("at-{step}"));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("weights"), text).unwrap();
            let milestone = crate::horizon::Milestone { step, total: 9, shared: true, position: BTreeMap::new() };
            let by = (Digest::of(b"action"), false);
            self.way().save(by, (&milestone, &BTreeMap::new()), &folder).unwrap();
        }

        fn way(&self) -> crate::store::Trajectory {
            self.store.trajectory(&Digest::of(b"way"))
        }

        fn let_go(&self) {
            self.way().prune(&Digest::of(b"action"), &|_| false).unwrap();
            assert!(self.way().records().unwrap().is_empty());
        }
    }

    #[test]
    fn what_only_a_checkpoint_named_goes_with_it() {
        let bench = Bench::new();
        bench.save(1, "abc");
        bench.let_go();
        assert!(!bench.holds(&Digest::of(b"abc")));
        assert_eq!(gc::entries(&bench.store.root().join("trash")).unwrap().len(), 0);
    }

    /// A result of a shorter run often is, byte for byte, a checkpoint of a longer one.
    #[test]
    fn what_a_result_names_as_well_stays_whoever_came_first() {
        let bench = Bench::new();
        let first = bench.result("before", "before", 1.0).1;
        bench.save(1, "before");
        bench.save(2, "after");
        let second = bench.result("after", "after", 1.0).1;
        bench.save(3, "nobody else's");
        bench.let_go();
        assert!(
            bench.holds(&Digest::of(b"before"))
                && bench.holds(&Digest::of(b"after"))
                && !bench.holds(&Digest::of(b"nobody else's"))
        );
        for artifact in [first, second] {
            assert!(bench.store.cas().holds(&artifact).unwrap());
        }
    }

    #[test]
    fn what_a_lease_names_stays_although_nobody_touched_it_yet() {
        let bench = Bench::new();
        bench.save(1, "abc");
        let lease = bench.store.lease("one").unwrap();
        lease.pin([Pin::Blob(Digest::of(b"abc"))]).unwrap();
        bench.let_go();
        assert!(bench.holds(&Digest::of(b"abc")));
    }
}
