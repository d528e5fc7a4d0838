//! What a stage needs of a machine while it runs. Operational: none of it enters an action key.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::units::Size;

/// What a stage needs while it runs. What is zero or empty is not asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// Processor cores it can keep busy.
    pub cpus: u32,
    /// Memory.
    pub mem: Size,
    /// Graphics cards, each for this stage alone.
    pub gpus: u32,
    /// Memory that each of its graphics cards must have.
    pub vram: Size,
    /// Room on the store's disk.
    pub disk: Size,
    /// Named things of which the machine has only so many.
    pub tokens: BTreeMap<String, u32>,
    /// What happens to a stage that takes more memory than it asked for.
    pub cap: MemoryCap,
}

/// What happens to a stage that takes more memory than it asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryCap {
    /// Nothing: the number only decides what runs beside it.
    #[default]
    Trusted,
    /// It is stopped.
    Enforced,
}

impl Resources {
    /// One core: the default.
    pub fn one_cpu() -> Self {
        Self::cpus(1)
    }

    /// Every core of the machine, shared with small stages.
    pub fn all_cpus() -> Self {
        Self::cpus(u32::MAX)
    }

    /// This many cores and nothing else.
    pub fn cpus(cpus: u32) -> Self {
        Self {
            cpus,
            mem: Size::default(),
            gpus: 0,
            vram: Size::default(),
            disk: Size::default(),
            tokens: BTreeMap::new(),
            cap: MemoryCap::Trusted,
        }
    }

    /// Whether it takes whatever cores there are, rather than a number of them.
    pub fn takes_every_core(&self) -> bool {
        self.cpus == u32::MAX
    }

    /// How many graphics cards it leases: asking for their memory asks for one.
    pub fn cards(&self) -> u32 {
        if self.gpus == 0 && self.vram > Size::default() { 1 } else { self.gpus }
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = vec![match self.cpus {
            u32::MAX => "every core".to_owned(),
            1 => "1 core".to_owned(),
            cpus => format!("{cpus} cores"),
        }];
        if self.mem > Size::default() {
            parts.push(format!("{} memory", self.mem));
        }
        match (self.cards(), self.vram > Size::default()) {
            (0, _) => {}
            (1, false) => parts.push("1 gpu".to_owned()),
            (count, false) => parts.push(format!("{count} gpus")),
            (1, true) => parts.push(format!("1 gpu with {}", self.vram)),
            (count, true) => parts.push(format!("{count} gpus with {} each", self.vram)),
        }
        if self.disk > Size::default() {
            parts.push(format!("{} disk", self.disk));
        }
        parts.extend(self.tokens.iter().map(|(name, count)| format!("{count} {name}")));
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demands_are_told_in_words() {
        assert_eq!(Resources::all_cpus().to_string(), "every core");
        let tokens = BTreeMap::from([("licence".to_owned(), 2)]);
        let demand = Resources { mem: Size::gib(8), vram: Size::gib(24), tokens, ..Resources::cpus(4) };
        assert_eq!(demand.to_string(), "4 cores, 8 GiB memory, 1 gpu with 24 GiB, 2 licence");
    }
}
