//! Rows of token ids and labels as tensors, with the supervised positions picked out: padded on the right below each other, or
//! packed one after another without padding.
//!
//! Attention is causal, so what follows a row's last supervised token, padding included, cannot reach its loss: it is cut.

use burn::tensor::{Device, Int, Tensor, TensorData};
use flow_rows::TokenRow;
use flow_text::encode::IGNORED;

use crate::{Context, Network, Padding};

/// The number of tokens that some earlier token of the row has to predict.
pub fn supervised(row: &TokenRow<'_>) -> u64 {
    targets(row).count() as u64
}

/// The number of leading tokens that predict something or precede one that does.
pub fn reach(row: &TokenRow<'_>) -> usize {
    targets(row).map(|(position, _)| position + 1).max().unwrap_or(0)
}

/// Positions that predict a supervised token, with that token.
fn targets<'a>(row: &TokenRow<'a>) -> impl Iterator<Item = (usize, i32)> + 'a {
    let labels = row.labels.iter().take(row.input_ids.len()).copied().skip(1);
    labels.enumerate().filter(|(_, label)| *label != IGNORED)
}

/// How rows that go through the network together lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Below each other, padded on the right with 0 to the longest.
    Padded,
    /// One after another, as documents that do not see each other.
    Packed,
}

/// Rows that go through the network together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Token ids: a line for each row, or one line for all.
    pub ids: Tensor<2, Int>,
    /// Positions in the flattened batch that predict a supervised token, row by row.
    pub positions: Tensor<1, Int>,
    /// The tokens to predict there.
    pub targets: Vec<i32>,
    /// Tokens of each row that go through the network.
    pub lengths: Vec<usize>,
    /// Supervised tokens of each row.
    pub per_row: Vec<usize>,
    /// How the rows lie.
    pub layout: Layout,
}

impl Batch {
    /// Lays rows out on a device. Returns nothing when no row has a supervised token.
    pub fn new(rows: &[TokenRow<'_>], layout: Layout, device: &Device) -> Option<Self> {
        let lengths: Vec<usize> = rows.iter().map(reach).collect();
        let width = lengths.iter().copied().max().filter(|&width| width > 0)?;
        let (starts, shape) = match layout {
            Layout::Padded => ((0..rows.len()).map(|row| row * width).collect(), [rows.len(), width]),
            Layout::Packed => (starts(&lengths), [1, lengths.iter().sum()]),
        };
        let mut ids = vec![0_i32; shape[0] * shape[1]];
        let (mut positions, mut picked, mut per_row) = (Vec::new(), Vec::new(), Vec::new());
        for ((row, start), length) in rows.iter().zip(starts).zip(&lengths) {
            for (slot, id) in ids.iter_mut().skip(start).zip(row.input_ids.iter().take(*length)) {
                *slot = signed(*id);
            }
            let before = picked.len();
            for (position, target) in targets(row) {
                positions.push(signed(start + position));
                picked.push(target);
            }
            per_row.push(picked.len() - before);
        }
        let ids = Tensor::from_data(TensorData::new(ids, shape), device);
        let positions = Tensor::from_data(TensorData::new(positions, [picked.len()]), device);
        Some(Self { ids, positions, targets: picked, lengths, per_row, layout })
    }

    /// What every block reads of this batch.
    pub fn context(&self, network: &Network) -> Context {
        match self.layout {
            Layout::Padded => network.context(&self.lengths, Padding::Right),
            Layout::Packed => network.documents(&self.lengths),
        }
    }
}

/// Where each of rows of these lengths begins, when they lie one after another.
fn starts(lengths: &[usize]) -> Vec<usize> {
    let begin = |end: &mut usize, length: &usize| {
        *end += length;
        Some(*end - length)
    };
    lengths.iter().scan(0, begin).collect()
}

/// Rows that go through the network together, and how they lie.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// The rows.
    pub rows: Vec<TokenRow<'a>>,
    /// How they lie.
    pub layout: Layout,
}

/// Splits rows into groups of at most `micro`, longest first, so that rows of one group have similar lengths.
///
/// Which rows share an optimizer step is not changed by it, so neither is the step's gradient.
pub fn group<'a>(rows: &[TokenRow<'a>], micro: usize) -> Vec<Group<'a>> {
    let mut sorted = rows.to_vec();
    sorted.sort_by_key(|row| std::cmp::Reverse(reach(row)));
    let padded = |rows: &[TokenRow<'a>]| Group { rows: rows.to_vec(), layout: Layout::Padded };
    sorted.chunks(micro.max(1)).map(padded).collect()
}

/// Splits bins of rows into groups of at most `micro` bins.
pub fn group_bins<'a>(bins: &[Vec<TokenRow<'a>>], micro: usize) -> Vec<Group<'a>> {
    let packed = |bins: &[Vec<TokenRow<'a>>]| Group { rows: bins.concat(), layout: Layout::Packed };
    bins.chunks(micro.max(1)).map(packed).collect()
}

/// Ids and positions stay far below 2^31: a vocabulary or a batch of that size does not fit a machine.
fn signed<T: TryInto<i32>>(number: T) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>(input_ids: &'a [u32], labels: &'a [i32]) -> TokenRow<'a> {
        TokenRow { row_id: "", input_ids, labels }
    }

    #[test]
    fn a_row_ends_where_its_last_target_is_predicted() {
        let row = row(&[5, 6, 7, 8, 9], &[-100, -100, 7, 8, -100]);
        assert_eq!((reach(&row), supervised(&row)), (3, 2));
    }

    #[test]
    fn a_label_on_the_first_token_cannot_be_predicted() {
        let row = row(&[5, 6], &[5, -100]);
        assert_eq!(supervised(&row), 0);
        assert!(Batch::new(&[row], Layout::Padded, &Device::flex()).is_none());
    }

    #[test]
    fn positions_count_in_the_padded_batch() {
        let (long, short) = (row(&[1, 2, 3, 4], &[-100, -100, 3, 4]), row(&[5, 6], &[-100, 6]));
        let batch = Batch::new(&[long, short], Layout::Padded, &Device::flex()).unwrap();
        assert_eq!(batch.ids.into_data().try_to_vec::<i32>().unwrap(), [1, 2, 3, 5, 0, 0]);
        assert_eq!(batch.positions.into_data().try_to_vec::<i32>().unwrap(), [1, 2, 3]);
        assert_eq!((batch.targets, batch.per_row, batch.lengths), (vec![3, 4, 6], vec![2, 1], vec![3, 1]));
    }

    #[test]
    fn groups_hold_every_row_once_longest_first() {
        let ids = [1_u32; 5];
        let labels = [1_i32; 5];
        let rows: Vec<TokenRow<'_>> = (1..=5).map(|n| row(&ids[..n], &labels[..n])).collect();
        let lengths: Vec<Vec<usize>> =
            group(&rows, 2).iter().map(|g| g.rows.iter().map(|r| r.input_ids.len()).collect()).collect();
        assert_eq!(lengths, [vec![5, 4], vec![3, 2], vec![1]]);
    }

    #[test]
    fn packed_rows_lie_one_after_another_and_predict_only_their_own() {
        // The label on the second row's first token would be predicted by the first row's last.
        let (long, short) = (row(&[1, 2, 3, 4], &[-100, -100, 3, 4]), row(&[5, 6], &[5, 6]));
        let batch = Batch::new(&[long, short], Layout::Packed, &Device::flex()).unwrap();
        assert_eq!(batch.ids.into_data().try_to_vec::<i32>().unwrap(), [1, 2, 3, 5]);
        assert_eq!(batch.positions.into_data().try_to_vec::<i32>().unwrap(), [1, 2, 3]);
        assert_eq!((batch.targets, batch.per_row, batch.lengths), (vec![3, 4, 6], vec![2, 1], vec![3, 1]));
    }

    #[test]
    fn groups_of_bins_hold_every_row_once() {
        let (ids, labels) = ([1_u32; 5], [1_i32; 5]);
        let bins: Vec<Vec<TokenRow<'_>>> = (1..=5).map(|n| (0..n).map(|_| row(&ids[..n], &labels[..n])).collect()).collect();
        let groups = group_bins(&bins, 2);
        assert_eq!(groups.iter().map(|group| group.rows.len()).collect::<Vec<_>>(), [3, 7, 5]);
        assert!(groups.iter().all(|group| group.layout == Layout::Packed));
    }
}
