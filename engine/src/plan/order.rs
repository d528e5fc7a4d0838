//! The order of stages: cycles, topological order, and what a stage needs.

use std::collections::{BTreeMap, BTreeSet};

/// Who must finish before whom: for every stage the stages it waits for.
pub(super) type Waits = [BTreeSet<usize>];

/// Stages in an order in which every stage follows what it waits for, ties by number; or the circles that forbid one.
pub(super) fn topological(waits: &Waits) -> Result<Vec<usize>, Vec<Vec<usize>>> {
    let mut open: Vec<usize> = waits.iter().map(BTreeSet::len).collect();
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); waits.len()];
    for (stage, before) in waits.iter().enumerate() {
        for earlier in before {
            if let Some(list) = followers.get_mut(*earlier) {
                list.push(stage);
            }
        }
    }
    let mut ready: BTreeSet<usize> = open.iter().enumerate().filter(|(_, count)| **count == 0).map(|(stage, _)| stage).collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some(stage) = ready.pop_first() {
        order.push(stage);
        for follower in followers.get(stage).into_iter().flatten() {
            if let Some(count) = open.get_mut(*follower) {
                *count -= 1;
                if *count == 0 {
                    ready.insert(*follower);
                }
            }
        }
    }
    if order.len() == waits.len() { Ok(order) } else { Err(circles(waits, &order)) }
}

/// One circle for every knot among the stages that have no place in the order.
fn circles(waits: &Waits, ordered: &[usize]) -> Vec<Vec<usize>> {
    let done: BTreeSet<usize> = ordered.iter().copied().collect();
    let mut left: BTreeSet<usize> = (0..waits.len()).filter(|stage| !done.contains(stage)).collect();
    let mut found = Vec::new();
    while let Some(start) = left.first().copied() {
        let (walk, circle) = walk_back(waits, &left, start);
        for stage in walk {
            left.remove(&stage);
        }
        if let Some(circle) = circle {
            found.push(circle);
        }
    }
    found
}

/// Follows what a stage waits for until a stage comes again or nothing is left. Gives the walk, and its circle in running order.
fn walk_back(waits: &Waits, left: &BTreeSet<usize>, start: usize) -> (Vec<usize>, Option<Vec<usize>>) {
    let mut walk = vec![start];
    let mut position = BTreeMap::from([(start, 0)]);
    let mut current = start;
    while let Some(next) = waits.get(current).and_then(|before| before.iter().find(|stage| left.contains(stage))).copied() {
        if let Some(first) = position.get(&next) {
            let mut circle = walk.split_off(*first);
            circle.reverse();
            walk.extend_from_slice(&circle);
            return (walk, Some(rotated(circle)));
        }
        position.insert(next, walk.len());
        walk.push(next);
        current = next;
    }
    (walk, None)
}

/// The circle from its first-declared stage on.
fn rotated(mut circle: Vec<usize>) -> Vec<usize> {
    let least = circle.iter().enumerate().min_by_key(|(_, stage)| **stage).map_or(0, |(at, _)| at);
    circle.rotate_left(least);
    circle
}

/// The given stages and everything they wait for.
pub(super) fn with_needs(waits: &Waits, wanted: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
    let mut kept = BTreeSet::new();
    let mut open: Vec<usize> = wanted.into_iter().collect();
    while let Some(stage) = open.pop() {
        if kept.insert(stage) {
            open.extend(waits.get(stage).into_iter().flatten());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn waits(edges: &[(usize, usize)], count: usize) -> Vec<BTreeSet<usize>> {
        let mut waits = vec![BTreeSet::new(); count];
        for (before, after) in edges {
            waits[*after].insert(*before);
        }
        waits
    }

    #[test]
    fn ties_follow_the_file() {
        assert_eq!(topological(&waits(&[(3, 0), (3, 1)], 4)), Ok(vec![2, 3, 0, 1]));
    }

    #[test]
    fn every_circle_is_told_once_in_running_order() {
        let two = waits(&[(0, 1), (1, 2), (2, 0), (2, 3), (4, 5), (5, 4), (6, 6)], 7);
        assert_eq!(topological(&two), Err(vec![vec![0, 1, 2], vec![4, 5], vec![6]]));
    }

    #[test]
    fn what_a_stage_needs_is_kept() {
        assert_eq!(with_needs(&waits(&[(0, 1), (1, 2), (3, 4)], 5), [2]), BTreeSet::from([0, 1, 2]));
    }

    #[test]
    fn a_long_chain_does_not_overflow() {
        let chain: Vec<(usize, usize)> = (1..100_000).map(|stage| (stage - 1, stage)).collect();
        assert_eq!(topological(&waits(&chain, 100_000)).map(|order| order.len()), Ok(100_000));
        let ring: Vec<_> = chain.into_iter().chain([(99_999, 0)]).collect();
        assert_eq!(topological(&waits(&ring, 100_000)).map_err(|circles| circles.len()), Err(1));
    }

    proptest! {
        #[test]
        fn an_order_respects_every_edge_and_a_circle_is_one(edges in prop::collection::vec((0_usize..12, 0_usize..12), 0..24)) {
            let waits = waits(&edges, 12);
            match topological(&waits) {
                Ok(order) => {
                    let place = |stage: usize| order.iter().position(|other| *other == stage);
                    for (before, after) in edges {
                        prop_assert!(place(before) < place(after));
                    }
                }
                Err(circles) => {
                    prop_assert!(!circles.is_empty());
                    for circle in circles {
                        for (at, stage) in circle.iter().enumerate() {
                            let next = circle[(at + 1) % circle.len()];
                            prop_assert!(waits[next].contains(stage), "{circle:?}");
                        }
                    }
                }
            }
        }
    }
}
