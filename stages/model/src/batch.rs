//! Rows of token ids and labels as tensors: padded on the right, with the supervised positions picked out.
//!
//! Attention is causal, so what follows a row's last supervised token, padding included, cannot reach its loss: it is cut.

use burn::tensor::{Device, Int, Tensor, TensorData};
use flow_rows::TokenRow;
use flow_text::encode::IGNORED;

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

/// Rows that go through the network together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Token ids, one row each, padded on the right with 0.
    pub ids: Tensor<2, Int>,
    /// Positions in the flattened batch that predict a supervised token, row by row.
    pub positions: Tensor<1, Int>,
    /// The tokens to predict there.
    pub targets: Vec<i32>,
    /// Tokens of each row that go through the network.
    pub lengths: Vec<usize>,
    /// Supervised tokens of each row.
    pub per_row: Vec<usize>,
}

impl Batch {
    /// Lays rows out on a device. Returns nothing when no row has a supervised token.
    pub fn new(rows: &[TokenRow<'_>], device: &Device) -> Option<Self> {
        let lengths: Vec<usize> = rows.iter().map(reach).collect();
        let width = lengths.iter().copied().max().filter(|&width| width > 0)?;
        let mut ids = vec![0_i32; rows.len() * width];
        let (mut positions, mut picked, mut per_row) = (Vec::new(), Vec::new(), Vec::new());
        for (number, (row, line)) in rows.iter().zip(ids.chunks_mut(width)).enumerate() {
            for (slot, id) in line.iter_mut().zip(row.input_ids.iter().take(reach(row))) {
                *slot = signed(*id);
            }
            let before = picked.len();
            for (position, target) in targets(row) {
                positions.push(signed(number * width + position));
                picked.push(target);
            }
            per_row.push(picked.len() - before);
        }
        let ids = Tensor::from_data(TensorData::new(ids, [rows.len(), width]), device);
        let positions = Tensor::from_data(TensorData::new(positions, [picked.len()]), device);
        Some(Self { ids, positions, targets: picked, lengths, per_row })
    }
}

/// Splits rows into groups of at most `micro`, longest first, so that rows of one group have similar lengths.
///
/// Which rows share an optimizer step is not changed by it, so neither is the step's gradient.
pub fn group<'a>(rows: &[TokenRow<'a>], micro: usize) -> Vec<Vec<TokenRow<'a>>> {
    let mut sorted = rows.to_vec();
    sorted.sort_by_key(|row| std::cmp::Reverse(reach(row)));
    sorted.chunks(micro.max(1)).map(<[_]>::to_vec).collect()
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
        assert!(Batch::new(&[row], &Device::flex()).is_none());
    }

    #[test]
    fn positions_count_in_the_padded_batch() {
        let (long, short) = (row(&[1, 2, 3, 4], &[-100, -100, 3, 4]), row(&[5, 6], &[-100, 6]));
        let batch = Batch::new(&[long, short], &Device::flex()).unwrap();
        assert_eq!(batch.ids.into_data().try_to_vec::<i32>().unwrap(), [1, 2, 3, 5, 0, 0]);
        assert_eq!(batch.positions.into_data().try_to_vec::<i32>().unwrap(), [1, 2, 3]);
        assert_eq!((batch.targets, batch.per_row, batch.lengths), (vec![3, 4, 6], vec![2, 1], vec![3, 1]));
    }

    #[test]
    fn groups_hold_every_row_once_longest_first() {
        let ids = [1_u32; 5];
        let labels = [1_i32; 5];
        let rows: Vec<TokenRow<'_>> = (1..=5).map(|n| row(&ids[..n], &labels[..n])).collect();
        let lengths: Vec<Vec<usize>> = group(&rows, 2).iter().map(|g| g.iter().map(|r| r.input_ids.len()).collect()).collect();
        assert_eq!(lengths, [vec![5, 4], vec![3, 2], vec![1]]);
    }
}
