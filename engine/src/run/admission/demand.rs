//! Counting what is free. Knows nothing of stages, queues, or leases.

use std::fmt;

use crate::{machine::Machine, resources::Resources, units::Size};

/// What is free of the machine.
#[derive(Clone, Debug)]
pub(super) struct Room {
    cores: u32,
    free_cores: u32,
    free_memory: u64,
    disk: u64,
    /// Whether a stage that takes every core runs. Two of them would only slow each other down; small ones fit beside one.
    whole: bool,
    running: u32,
}

/// Something a stage waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Short {
    Cores,
    Whole,
    Memory,
    Disk,
    Cards,
    Token(String),
}

impl Room {
    pub(super) fn of(machine: &Machine) -> Self {
        Self { cores: machine.cpus, free_cores: machine.cpus, free_memory: machine.mem.get(), disk: 0, whole: false, running: 0 }
    }

    /// Whether nothing runs.
    pub(super) fn is_untouched(&self) -> bool {
        self.running == 0
    }

    fn is_whole(&self, demand: &Resources) -> bool {
        demand.takes_every_core() && self.cores > 1
    }

    fn cores_of(&self, demand: &Resources) -> u32 {
        if self.is_whole(demand) { 0 } else { demand.cpus.min(self.cores) }
    }

    /// Whether the demand fits, or what there is too little of. `free` are the free bytes of the disk, if any are asked for.
    pub(super) fn fits(&self, demand: &Resources, free: Option<u64>) -> Result<(), Vec<Short>> {
        let mut short = Vec::new();
        if self.cores_of(demand) > self.free_cores {
            short.push(Short::Cores);
        }
        if self.is_whole(demand) && self.whole {
            short.push(Short::Whole);
        }
        if demand.mem.get() > self.free_memory {
            short.push(Short::Memory);
        }
        if free.is_some_and(|free| demand.disk.get().saturating_add(self.disk) > free) {
            short.push(Short::Disk);
        }
        if short.is_empty() { Ok(()) } else { Err(short) }
    }

    pub(super) fn take(&mut self, demand: &Resources) {
        self.free_cores -= self.cores_of(demand).min(self.free_cores);
        self.free_memory = self.free_memory.saturating_sub(demand.mem.get());
        self.disk += demand.disk.get();
        self.whole |= self.is_whole(demand);
        self.running += 1;
    }

    pub(super) fn give_back(&mut self, demand: &Resources) {
        self.free_cores += self.cores_of(demand);
        self.free_memory += demand.mem.get();
        self.disk = self.disk.saturating_sub(demand.disk.get());
        self.whole &= !self.is_whole(demand);
        self.running = self.running.saturating_sub(1);
    }
}

impl Short {
    /// The leases a demand may wait for.
    pub(super) fn leases(demand: &Resources) -> Vec<Self> {
        let cards = (demand.cards() > 0).then_some(Self::Cards);
        cards.into_iter().chain(demand.tokens.keys().cloned().map(Self::Token)).collect()
    }

    /// Whether another demand wants some of it, and would so overtake whoever waits for it.
    pub(super) fn concerns(&self, demand: &Resources) -> bool {
        match self {
            Self::Cores => !demand.takes_every_core(),
            Self::Whole => demand.takes_every_core(),
            Self::Memory => demand.mem > Size::default(),
            Self::Disk => demand.disk > Size::default(),
            Self::Cards => demand.cards() > 0,
            Self::Token(name) => demand.tokens.contains_key(name),
        }
    }
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cores => f.write_str("cores"),
            Self::Whole => f.write_str("a stage that takes every core to end"),
            Self::Memory => f.write_str("memory"),
            Self::Disk => f.write_str("room on the disk"),
            Self::Cards => f.write_str("graphics cards"),
            Self::Token(name) => f.write_str(name),
        }
    }
}
