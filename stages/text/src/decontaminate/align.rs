//! How much of an item stands in a text, in its order: the heaviest common subsequence within a window.

use super::{Covered, item::Prepared};
use crate::words::Word;

/// Aligns an item where most of its runs agree on a start.
pub(super) fn best(item: &Prepared, starts: &[isize], words: &[Word]) -> Option<Covered> {
    let length = item.hashes.len().cast_signed();
    let slack = (length / 4).max(2);
    let start = densest(starts, slack)?;
    let clamp = |at: isize| usize::try_from(at.max(0)).map(|at| at.min(words.len()));
    let window = words.get(clamp(start - slack).ok()?..clamp(start + length + slack).ok()?)?;
    let chain = heaviest(item, window);
    let total: f64 = item.weights.iter().sum();
    let span = window.get(chain.first)?.start..window.get(chain.last)?.end;
    (total > 0.0).then(|| Covered { coverage: chain.weight / total, span })
}

/// The middle of the stretch of a given width that holds most starts.
fn densest(starts: &[isize], width: isize) -> Option<isize> {
    let mut sorted = starts.to_vec();
    sorted.sort_unstable();
    let mut best = (0, 0);
    let mut low = 0;
    for (high, start) in sorted.iter().enumerate() {
        while sorted.get(low).is_some_and(|least| start - least > width) {
            low += 1;
        }
        if high + 1 - low > best.1 - best.0 {
            best = (low, high + 1);
        }
    }
    sorted.get(usize::midpoint(best.0, best.1)).or_else(|| sorted.last()).copied()
}

/// A common subsequence: its weight, and the first and last word of the window that it uses.
#[derive(Clone, Copy, Default)]
struct Chain {
    weight: f64,
    first: usize,
    last: usize,
}

fn heaviest(item: &Prepared, window: &[Word]) -> Chain {
    let mut row = vec![Chain::default(); window.len() + 1];
    for (hash, weight) in item.hashes.iter().zip(&item.weights) {
        let mut diagonal = Chain::default();
        for (at, word) in window.iter().enumerate() {
            let above = row[at + 1];
            let mut best = if row[at].weight > above.weight { row[at] } else { above };
            if word.hash == *hash && diagonal.weight + weight > best.weight {
                let first = if diagonal.weight > 0.0 { diagonal.first } else { at };
                best = Chain { weight: diagonal.weight + weight, first, last: at };
            }
            diagonal = above;
            row[at + 1] = best;
        }
    }
    row.last().copied().unwrap_or_default()
}
