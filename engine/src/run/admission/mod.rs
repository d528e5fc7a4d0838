//! Who may start next. What a stage needs is taken from the machine when it starts and given back when it ends.
//!
//! The most urgent stage comes first. One that does not fit yet is overtaken only by stages that need nothing it waits for,
//! so it neither starves nor holds up the rest. Cores, memory, and disk are counted inside this engine; graphics cards and
//! tokens are leased in the store, so that two engines never share one.

mod demand;
mod grant;
mod urgency;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use self::{
    demand::{Room, Short},
    grant::Slots,
};
pub(crate) use self::{
    grant::Grant,
    urgency::{Seconds, Turn, Turns},
};
use crate::{
    StageError,
    machine::Machine,
    resources::Resources,
    store::{Owner, Reservations},
};

/// How long a stage lets others be looked up that may be more urgent.
const COURTESY: Duration = Duration::from_millis(25);
/// Between two looks at what other engines hold.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The machine as the stages of one run share it.
pub(crate) struct Admission {
    machine: Machine,
    slots: Slots,
    disk: PathBuf,
    state: Mutex<State>,
}

struct State {
    room: Room,
    /// Stages that are looked up and may turn out to be more urgent.
    looking: usize,
    queue: BTreeMap<Turn, Waiting>,
}

struct Waiting {
    demand: Resources,
    owner: Owner,
    since: Instant,
    answer: oneshot::Sender<Result<Grant, StageError>>,
}

/// A stage that is looked up: as long as it lives, others wait a moment for it.
pub(crate) struct Looking {
    admission: Arc<Admission>,
}

impl Admission {
    /// All of a machine; `slots` are the leases of its store, `disk` is where results are written.
    pub(crate) fn new(machine: Machine, slots: Reservations, disk: PathBuf) -> Self {
        let room = Room::of(&machine);
        let state = Mutex::new(State { room, looking: 0, queue: BTreeMap::new() });
        Self { slots: Slots::new(slots), machine, disk, state }
    }

    /// What the machine has.
    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a stage is looked up.
    pub(crate) fn looking(self: &Arc<Self>) -> Looking {
        self.state().looking += 1;
        Looking { admission: self.clone() }
    }

    /// Waits until there is room. The wait can be given up by dropping it.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        turn: Turn,
        (demand, owner): (Resources, Owner),
        looking: Option<Looking>,
    ) -> Result<Grant, StageError> {
        let (answer, mut granted) = oneshot::channel();
        self.state().queue.insert(turn, Waiting { demand, owner, since: Instant::now(), answer });
        let _left = Left { admission: self, turn };
        drop(looking);
        self.grant();
        let mut pause = COURTESY;
        loop {
            tokio::select! {
                grant = &mut granted => {
                    return grant.unwrap_or_else(|_| Err(StageError::internal("the queue of stages lost one")));
                }
                () = tokio::time::sleep(pause) => self.grant(),
            }
            pause = LOOK_AGAIN;
        }
    }

    /// Says what a waiting stage lacks, for a message.
    pub(crate) fn lacks(&self, demand: &Resources) -> String {
        let state = self.state();
        match state.room.fits(demand, self.free_disk(demand)) {
            Err(short) => short.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            Ok(()) if Slots::wanted(demand) => "graphics cards or tokens that others hold".to_owned(),
            Ok(()) => "its turn".to_owned(),
        }
    }

    /// Starts every stage that may start now.
    fn grant(self: &Arc<Self>) {
        let mut answers = Vec::new();
        {
            let mut state = self.state();
            let state = &mut *state;
            let mut short: Vec<Short> = Vec::new();
            let mut chosen = Vec::new();
            for (turn, waiting) in &state.queue {
                if state.looking > 0 && waiting.since.elapsed() < COURTESY {
                    break;
                }
                match self.admit(&mut state.room, waiting, &short) {
                    Ok(Some(grant)) => chosen.push((*turn, Ok(grant))),
                    Ok(None) => short.extend(self.shortage(&state.room, waiting)),
                    Err(error) => chosen.push((*turn, Err(error))),
                }
            }
            for (turn, answer) in chosen {
                answers.extend(state.queue.remove(&turn).map(|waiting| (waiting.answer, answer)));
            }
        }
        // Outside the lock: a grant that nobody waits for any more gives itself back at once.
        for (sender, answer) in answers {
            drop(sender.send(answer));
        }
    }

    fn admit(self: &Arc<Self>, room: &mut Room, waiting: &Waiting, short: &[Short]) -> Result<Option<Grant>, StageError> {
        let demand = &waiting.demand;
        if short.iter().any(|lack| lack.concerns(demand)) {
            return Ok(None);
        }
        let free = self.free_disk(demand);
        if room.fits(demand, free).is_err() {
            if room.is_untouched() && room.fits(demand, None).is_ok() {
                return Err(full(demand, free));
            }
            return Ok(None);
        }
        let Some(leased) = self.slots.lease(&self.machine, demand, &waiting.owner)? else { return Ok(None) };
        room.take(demand);
        Ok(Some(Grant::new(self.clone(), demand.clone(), leased)))
    }

    fn shortage(&self, room: &Room, waiting: &Waiting) -> Vec<Short> {
        let demand = &waiting.demand;
        let mut short = room.fits(demand, self.free_disk(demand)).err().unwrap_or_default();
        short.extend(Short::leases(demand));
        short
    }

    /// Free bytes of the disk, asked for only when a stage needs some.
    fn free_disk(&self, demand: &Resources) -> Option<u64> {
        if demand.disk.get() == 0 {
            return None;
        }
        let told = rustix::fs::statvfs(&self.disk).ok()?;
        Some(told.f_bavail.saturating_mul(told.f_frsize))
    }
}

fn full(demand: &Resources, free: Option<u64>) -> StageError {
    let free = crate::units::Size::bytes(free.unwrap_or_default());
    StageError::resource(format!("the stage needs {} of disk and {free} are free", demand.disk))
        .help("free space, with `flow gc` for the store, or move the store with FLOW_STORE=FOLDER")
}

/// Takes a stage out of the queue when it waits no longer.
struct Left<'a> {
    admission: &'a Arc<Admission>,
    turn: Turn,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        let left = self.admission.state().queue.remove(&self.turn);
        if left.is_some() {
            self.admission.grant();
        }
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        let last = {
            let mut state = self.admission.state();
            state.looking = state.looking.saturating_sub(1);
            state.looking == 0 && !state.queue.is_empty()
        };
        if last {
            self.admission.grant();
        }
    }
}

#[cfg(test)]
mod tests;
