use std::time::Duration;

use super::*;
use crate::{artifact::ArtifactForm, store::testing::Bench};

impl Bench {
    fn kept(&self, key: &Digest) -> bool {
        self.store.actions().peek(key).unwrap().is_some()
    }
}

/// Keeps nothing by age.
fn eager() -> GcOptions {
    GcOptions { older_than: Duration::ZERO, grace: Duration::ZERO, ..GcOptions::default() }
}

#[test]
fn what_goes_can_be_had_back_until_the_trash_is_emptied() {
    let bench = Bench::new();
    let (key, artifact) = bench.result("a", "abc", 1.0);
    let collected = bench.store.collect(&eager()).unwrap();
    assert_eq!((collected.results, collected.objects, collected.freed_bytes), (1, 2, 0));
    assert!(!bench.kept(&key) && !bench.holds(&artifact.digest));
    assert_eq!(bench.store.restore().unwrap(), (1, 1));
    assert!(bench.kept(&key) && bench.holds(&artifact.digest));
    bench.store.collect(&eager()).unwrap();
    let emptied = bench.store.collect(&GcOptions { trash_for: Duration::ZERO, ..eager() }).unwrap();
    assert!(emptied.freed_bytes >= 3);
    assert_eq!(bench.store.restore().unwrap(), (0, 0));
}

#[test]
fn a_pretended_collection_moves_nothing() {
    let bench = Bench::new();
    let (key, artifact) = bench.result("a", "abc", 1.0);
    let told = bench.store.collect(&GcOptions { sweep: Sweep::Pretend, ..eager() }).unwrap();
    assert_eq!((told.results, told.evicted.len()), (1, 1));
    assert!(bench.kept(&key) && bench.holds(&artifact.digest));
}

#[test]
fn what_a_lease_names_stays_and_goes_with_the_lease() {
    let bench = Bench::new();
    let (key, artifact) = bench.result("a", "abc", 1.0);
    let (_, loose) = bench.result("b", "def", 1.0);
    let lease = bench.store.lease("me").unwrap();
    lease.pin([Pin::Result(key), Pin::Blob(loose.digest)]).unwrap();
    bench.store.collect(&eager()).unwrap();
    assert!(bench.kept(&key) && bench.holds(&artifact.digest) && bench.holds(&loose.digest));
    drop(lease);
    bench.store.collect(&eager()).unwrap();
    assert!(!bench.kept(&key) && !bench.holds(&loose.digest));
}

/// A collector that died between moving and looking again leaves something in the trash that is asked for: it is found there.
#[test]
fn an_object_in_the_trash_is_used_when_it_is_asked_for() {
    let bench = Bench::new();
    let (_, artifact) = bench.result("a", "abc", 1.0);
    bench.store.collect(&eager()).unwrap();
    assert!(bench.store.cas().holds(&artifact).unwrap());
    assert!(bench.holds(&artifact.digest));
}

/// The big one that took a second goes before the small one that took an hour.
#[test]
fn where_room_is_short_the_cheapest_go_first() {
    let bench = Bench::new();
    let (cheap, _) = bench.result("cheap", &"x".repeat(10_000), 1.0);
    let (dear, _) = bench.result("dear", &"y".repeat(5_000), 3_600.0);
    let (used, _) = bench.result("used", &"z".repeat(9_000), 1.0);
    let referenced = BTreeSet::from([used]);
    let options = GcOptions { referenced, max_bytes: Some(15_000), ..GcOptions::default() };
    let collected = bench.store.collect(&options).unwrap();
    assert_eq!(collected.evicted.iter().map(|candidate| candidate.key).collect::<Vec<_>>(), [cheap]);
    assert!(bench.kept(&dear) && bench.kept(&used));
    let collected = bench.store.collect(&GcOptions { max_bytes: Some(6_000), ..options }).unwrap();
    // Nobody refers to the dear one, so it goes before the cheap one that a run refers to, and that goes too.
    assert_eq!(collected.results, 2);
    assert!(!bench.kept(&dear) && !bench.kept(&used));
}

#[test]
fn a_blob_that_two_results_name_goes_with_the_last() {
    let bench = Bench::new();
    let (one, artifact) = bench.result("one", "same", 1.0);
    let (two, _) = bench.result("two", "same", 1.0);
    let keep = |key| GcOptions { referenced: BTreeSet::from([key]), ..eager() };
    bench.store.collect(&keep(two)).unwrap();
    assert!(!bench.kept(&one) && bench.kept(&two) && bench.holds(&artifact.digest));
    bench.store.collect(&keep(one)).unwrap();
    assert!(!bench.holds(&artifact.digest));
}

/// Somebody sets the clock back by an hour: what looks as if it came from the future is young.
#[test]
fn a_clock_that_is_set_back_makes_nothing_old() {
    let bench = Bench::new();
    let (_, artifact) = bench.result("a", "abc", 1.0);
    let metadata = bench.store.cas().path(&artifact.digest).metadata().unwrap();
    let now = SystemTime::now();
    assert!(!is_older(&metadata, Duration::ZERO, now - Duration::from_hours(1)));
    assert!(is_older(&metadata, Duration::from_hours(2), now + Duration::from_hours(3)));
}

#[test]
fn artifacts_are_weighed_by_content() {
    let bench = Bench::new();
    let (_, artifact) = bench.result("a", "abc", 1.0);
    assert_eq!((artifact.form, artifact.bytes), (ArtifactForm::Blob, 3));
    let biggest = bench.store.biggest(&BTreeSet::new(), 5).unwrap();
    assert_eq!((biggest.len(), biggest[0].bytes), (1, 3));
}
