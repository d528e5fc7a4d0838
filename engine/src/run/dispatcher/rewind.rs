//! Producers that run again because something they gave went missing or was damaged while the run was going on.
//!
//! The consumer that found it out waits and is started again; everybody else goes on. The same object is made again twice at
//! most: a disk that loses it a third time will lose it a fourth.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::graph::NodeIndex;

use super::{Dispatcher, Standing};
use crate::{
    Digest, StageError,
    run::{Event, LostInput, RunError},
};

/// How often one object is made again within a run.
const MOST: u32 = 2;

/// Who runs again, and who waits for it.
#[derive(Default)]
pub(super) struct Rewinds {
    /// Producers that run again, and the consumers that wait for each.
    waiting: BTreeMap<NodeIndex, BTreeSet<NodeIndex>>,
    made: BTreeMap<Digest, u32>,
}

impl Rewinds {
    /// Counts one more loss of an object; false when it was lost too often.
    fn count(&mut self, digest: Digest) -> bool {
        let made = self.made.entry(digest).or_default();
        *made += 1;
        *made <= MOST
    }

    /// Whether a producer runs again already.
    fn is_waited_for(&self, producer: NodeIndex) -> bool {
        self.waiting.contains_key(&producer)
    }

    /// Takes note that `consumer` waits for `producer`.
    fn wait(&mut self, consumer: NodeIndex, producer: NodeIndex) {
        self.waiting.entry(producer).or_default().insert(consumer);
    }

    /// A stage has settled: the consumers that wait for nothing else now, if it was one that ran again.
    pub(super) fn made(&mut self, producer: NodeIndex) -> Option<Vec<NodeIndex>> {
        let consumers = self.waiting.remove(&producer)?;
        let free = |consumer: &NodeIndex| !self.waiting.values().any(|others| others.contains(consumer));
        Some(consumers.into_iter().filter(free).collect())
    }
}

impl Dispatcher {
    /// Lets the producers of lost inputs run again before the stage that needs them.
    pub(super) fn rewind(&mut self, consumer: NodeIndex, lost: &[LostInput]) -> Result<(), RunError> {
        let mut again = Vec::new();
        let mut waited = BTreeSet::new();
        for input in lost {
            let producer = self.producer(&input.from);
            let Some((producer, key)) = producer.and_then(|node| Some((node, self.finished(node)?.key))) else {
                return self.give_up(consumer, input);
            };
            // One producer that is lost twice, or to two consumers, runs once.
            if waited.insert(producer) && !self.rewinds.is_waited_for(producer) {
                if !self.rewinds.count(input.digest) {
                    return self.give_up(consumer, input);
                }
                again.push((producer, key, input));
            }
        }
        let error = StageError::resource(lost.first().map_or_else(|| "an input is lost".to_owned(), told));
        let attempt = self.state.stage(&self.name(consumer)).map_or(0, |stage| stage.attempts);
        self.record(Event::StageRetried { stage: self.name(consumer), attempt, error, wait_seconds: 0.0 })?;
        for producer in waited {
            self.rewinds.wait(consumer, producer);
        }
        for (producer, key, input) in again {
            self.record(Event::StageLost {
                stage: self.name(producer),
                key,
                digest: input.digest,
                reason: input.reason.clone(),
                found_by: Some(self.name(consumer)),
            })?;
            self.front.stand(producer, Standing::Open);
            self.front.queue(producer);
        }
        Ok(())
    }

    /// The stage of `stage.port`.
    fn producer(&self, from: &str) -> Option<NodeIndex> {
        from.rsplit_once('.').and_then(|(stage, _)| self.shared.plan.find(stage))
    }

    fn give_up(&mut self, consumer: NodeIndex, input: &LostInput) -> Result<(), RunError> {
        let error = StageError::resource(format!("{}; it was made again {MOST} times and lost each time", told(input)))
            .help("check the disk, then the store with `flow cache verify --full`");
        let (stage, attempt) = (self.name(consumer), self.state.stage(&self.name(consumer)).map_or(0, |stage| stage.attempts));
        self.record(Event::StageFailed { stage, key: None, attempt, error })?;
        self.close(consumer, Standing::Blocked, "failed");
        Ok(())
    }
}

fn told(input: &LostInput) -> String {
    format!("object {} of {} cannot be used: {}", input.digest.short(), input.from, input.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_goes_on_when_everything_it_waits_for_is_made() {
        let [one, two, consumer, other] = [0, 1, 2, 3].map(NodeIndex::new);
        let mut rewinds = Rewinds::default();
        for (consumer, producer) in [(consumer, one), (consumer, two), (other, one)] {
            rewinds.wait(consumer, producer);
        }
        assert!(rewinds.is_waited_for(one) && !rewinds.is_waited_for(consumer));
        assert_eq!(rewinds.made(one), Some(vec![other]));
        assert_eq!(rewinds.made(two), Some(vec![consumer]));
        assert_eq!(rewinds.made(two), None);
    }

    #[test]
    fn an_object_is_made_again_twice_at_most() {
        let mut rewinds = Rewinds::default();
        let counted: Vec<bool> = (0..4).map(|_| rewinds.count(Digest::of(b"x"))).collect();
        assert_eq!(counted, [true, true, false, false]);
    }
}
