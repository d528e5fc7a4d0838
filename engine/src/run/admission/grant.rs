//! What one stage was given, and the leases of things that have a name: graphics cards and tokens.

use std::{collections::BTreeSet, sync::Arc};

use super::Admission;
use crate::{
    Digest, StageError,
    machine::Machine,
    resources::Resources,
    store::{Claim, Company, Owner, Reservations},
};

/// What one stage was given; it goes back when this goes away.
pub(crate) struct Grant {
    admission: Arc<Admission>,
    demand: Resources,
    leased: Leased,
}

/// Leased things.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Leased {
    cards: Vec<String>,
    slots: Vec<(Digest, Owner)>,
}

impl Grant {
    pub(super) fn new(admission: Arc<Admission>, demand: Resources, leased: Leased) -> Self {
        Self { admission, demand, leased }
    }

    /// The graphics cards, as `CUDA_VISIBLE_DEVICES` names them.
    pub(crate) fn cards(&self) -> &[String] {
        &self.leased.cards
    }

    /// The leases and their epochs, which the stage's process takes over.
    pub(crate) fn slots(&self) -> Vec<(Digest, u64)> {
        self.leased.slots.iter().map(|(slot, owner)| (*slot, owner.epoch)).collect()
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.admission.slots.release(&self.leased);
        self.admission.state().room.give_back(&self.demand);
        self.admission.grant();
    }
}

/// Leases in the store. The lease of a dead process is free.
pub(super) struct Slots {
    reservations: Reservations,
}

impl Slots {
    pub(super) fn new(reservations: Reservations) -> Self {
        Self { reservations }
    }

    /// Whether a demand wants any.
    pub(super) fn wanted(demand: &Resources) -> bool {
        demand.cards() > 0 || !demand.tokens.is_empty()
    }

    /// Leases everything that a demand names, or nothing.
    pub(super) fn lease(&self, machine: &Machine, demand: &Resources, owner: &Owner) -> Result<Option<Leased>, StageError> {
        let mut leased = Leased::default();
        if !Self::wanted(demand) {
            return Ok(Some(leased));
        }
        let whole = self.fill(machine, demand, (owner, &mut leased));
        if !matches!(whole, Ok(true)) {
            self.release(&leased);
        }
        Ok(whole?.then_some(leased))
    }

    fn fill(&self, machine: &Machine, demand: &Resources, (owner, leased): (&Owner, &mut Leased)) -> Result<bool, StageError> {
        let mut missing = demand.cards();
        let fitting = machine.cards().iter().filter(|card| card.vram.is_none_or(|vram| vram >= demand.vram));
        let distinct: BTreeSet<&str> =
            if missing > 0 { fitting.map(|card| card.name.as_str()).collect() } else { BTreeSet::new() };
        for card in machine_order(machine, &distinct, missing) {
            if missing > 0 && self.take(&format!("gpu {card}"), (owner, leased))? {
                leased.cards.push(card.to_owned());
                missing -= 1;
            }
        }
        if missing > 0 {
            return Ok(false);
        }
        for (token, count) in &demand.tokens {
            let mut missing = *count;
            for number in 0..machine.tokens.get(token).copied().unwrap_or(0) {
                if missing > 0 && self.take(&format!("token {token} {number}"), (owner, leased))? {
                    missing -= 1;
                }
            }
            if missing > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take(&self, name: &str, (owner, leased): (&Owner, &mut Leased)) -> Result<bool, StageError> {
        let slot = Digest::derive("flow.dev 2026-11 slot v1", name.as_bytes());
        match self.reservations.claim(&slot, owner.clone(), Company::Wait)? {
            Claim::Won { owner, .. } => {
                leased.slots.push((slot, owner));
                Ok(true)
            }
            Claim::Held(_) => Ok(false),
        }
    }

    fn release(&self, leased: &Leased) {
        for (slot, owner) in &leased.slots {
            if let Err(error) = self.reservations.release(slot, owner) {
                tracing::warn!(%error, "Could not give a lease back.");
            }
        }
    }
}

/// The wanted cards in the order in which the machine names them; none when none is wanted.
fn machine_order<'m>(machine: &'m Machine, wanted: &BTreeSet<&str>, count: u32) -> Vec<&'m str> {
    if count == 0 {
        return Vec::new();
    }
    machine.cards().iter().map(|card| card.name.as_str()).filter(|name| wanted.contains(name)).collect()
}
