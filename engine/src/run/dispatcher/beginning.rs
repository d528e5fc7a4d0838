//! How a run begins: what its journal says first.

use super::Dispatcher;
use crate::run::{
    RunError,
    event::Event,
    opening::{First, edited},
};

impl Dispatcher {
    /// The first entry of a new journal, or the resumption of an old one.
    pub(super) fn announce(&mut self, first: First) -> Result<(), RunError> {
        match first {
            First::Started(entry) => self.publish(*entry),
            First::Resumed => self.record(Event::RunResumed { edited: edited(&self.shared, &self.state) }),
        }
    }
}
