//! What each step of a run trains on: rows, or bins of packed rows, from the same shuffled epochs.
//!
//! A pure function of the rows' lengths, the seed, and the step. Every epoch has the same number of bins, because best-fit
//! decreasing comes to as many in whatever order rows lie: a step's epoch stays one division.

use flow_engine::StageError;
use flow_rows::{TokenRow, TokensReader};

use super::{BatchConfig, Order, Packing};
use crate::{
    batch::{Group, group, group_bins},
    pack::{Forecast, best_fit_decreasing},
    rng::Rng,
};

/// The rows of a run by step.
#[derive(Debug)]
pub(super) struct Feed<'a> {
    tokens: &'a TokensReader,
    /// Of what a step counts: rows or bins.
    order: Order,
    bins: Option<Bins>,
    micro: usize,
    current: Option<(u64, Epoch)>,
}

/// How rows are packed.
#[derive(Debug)]
struct Bins {
    /// Of rows, of which the shuffled epochs count and the batches do not.
    rows: Order,
    lengths: Vec<usize>,
    capacity: usize,
    packed: Forecast,
}

/// One epoch in the order of its steps.
#[derive(Debug)]
enum Epoch {
    Rows(Vec<usize>),
    Bins(Vec<Vec<usize>>),
}

impl<'a> Feed<'a> {
    /// Measures the rows and refuses those that are too long.
    pub(super) fn new(tokens: &'a TokensReader, batch: &BatchConfig, seed: u64) -> Result<Self, StageError> {
        let global = batch.global.get() as usize;
        let longest = batch.max_length.map_or(tokens.meta().max_length, |length| u64::from(length.get()));
        let capacity = usize::try_from(longest).unwrap_or(usize::MAX);
        let lengths = measure(tokens, capacity)?;
        let rows = Order::new(tokens.len(), global, seed);
        let (order, bins) = match batch.packing {
            Packing::None => (rows, None),
            Packing::Bfd => {
                let mut counts = std::collections::BTreeMap::new();
                for length in &lengths {
                    *counts.entry(*length).or_default() += 1;
                }
                let packed = Forecast::new(&counts, capacity);
                let bins = usize::try_from(packed.bins).unwrap_or(usize::MAX);
                let order = Order::new(bins, global, Rng::named(seed, "bins").next_u64());
                (order, Some(Bins { rows, lengths, capacity, packed }))
            }
        };
        Ok(Self { tokens, order, bins, micro: batch.micro.get() as usize, current: None })
    }

    /// The order of the rows, or of the bins.
    pub(super) fn order(&self) -> Order {
        self.order
    }

    /// What packing comes to in every epoch, if rows are packed, and the tokens that a bin may hold.
    pub(super) fn packed(&self) -> Option<(Forecast, usize)> {
        self.bins.as_ref().map(|bins| (bins.packed, bins.capacity))
    }

    /// The rows of a step, as they go through the network together.
    pub(super) fn groups(&mut self, step: u64) -> Result<Vec<Group<'a>>, StageError> {
        let number = self.order.epoch(step);
        let window = self.order.window(step);
        let epoch = match self.current.take() {
            Some((current, epoch)) if current == number => epoch,
            _ => self.epoch(number),
        };
        let (_, epoch) = self.current.insert((number, epoch));
        let read = |rows: &[usize]| rows.iter().map(|&row| self.tokens.get(row)).collect::<Result<Vec<TokenRow<'a>>, _>>();
        Ok(match epoch {
            Epoch::Rows(rows) => group(&read(rows.get(window).unwrap_or_default())?, self.micro),
            Epoch::Bins(bins) => {
                let bins = bins.get(window).unwrap_or_default().iter();
                group_bins(&bins.map(|bin| read(bin)).collect::<Result<Vec<_>, _>>()?, self.micro)
            }
        })
    }

    fn epoch(&self, number: u64) -> Epoch {
        let order = self.order.epoch_rows(number);
        match &self.bins {
            None => Epoch::Rows(order),
            Some(bins) => {
                let mut packed = bins.pack(number);
                let take = |bin: usize| packed.get_mut(bin).map(std::mem::take);
                Epoch::Bins(order.into_iter().filter_map(take).collect())
            }
        }
    }
}

impl Bins {
    /// The bins of an epoch, in the order in which they were opened. No row is too long: [`Feed::new`] saw to it.
    fn pack(&self, epoch: u64) -> Vec<Vec<usize>> {
        best_fit_decreasing(&self.rows.epoch_rows(epoch), &self.lengths, self.capacity).unwrap_or_default()
    }
}

/// The tokens of every row.
fn measure(tokens: &TokensReader, longest: usize) -> Result<Vec<usize>, StageError> {
    let measured = |row: Result<TokenRow<'_>, flow_rows::RowsError>| {
        let row = row?;
        let length = row.input_ids.len();
        if length > longest {
            let message = format!("row {} has {length} tokens, but `batch.max_length` is {longest}", row.row_id);
            let help = format!("raise `batch.max_length`, or tokenize with `max_length: {longest}` and choose `overflow` there");
            return Err(StageError::input(message).help(help));
        }
        Ok(length)
    };
    tokens.iter().map(measured).collect()
}
