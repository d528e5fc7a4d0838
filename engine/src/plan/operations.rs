//! How stages are run: what they need, how often they are repeated, when they are given up. None of it enters a key.
//!
//! The stage's own words win over `defaults:`, these over what its kind declares. A demand that this machine can never meet
//! is a problem of the workflow, not a wait without end.

use std::time::Duration;

use super::{configure::Configured, expand::Expansion};
use crate::{
    DynStage,
    machine::Machine,
    registry::PathStep,
    resources::{MemoryCap, Resources},
    settings::MachineSettings,
    units::Size,
    workflow::{Defaults, Period, Problems, Repeats, ResourcesDocument, RetryDocument, StageDocument, Stall},
};

/// How one stage is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operations {
    /// What it needs while it runs.
    pub resources: Resources,
    /// How often a failed attempt is repeated.
    pub retry: Retry,
    /// How long an attempt may take.
    pub timeout: Option<Duration>,
    /// How long it may wait for room on the machine.
    pub queue_timeout: Option<Duration>,
    /// How long an attempt may show no sign of life.
    pub stall: Option<Duration>,
    /// How many threads it is told to use; none leaves it to the stage.
    pub threads: Option<u32>,
}

/// How often and when a failed attempt is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Repeats after a fault of the machine (killed process, full disk).
    pub infra: u32,
    /// Repeats after the machine took the process away while its checkpoints advanced.
    pub preempt: Repeats,
    /// Repeats, each with half as much memory again, after memory ran out.
    pub oom: u32,
    /// Repeats after a stage's own error.
    pub error: u32,
    /// Wait before the first repeat; doubled each time, ten minutes at most.
    pub backoff: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { infra: 5, preempt: Repeats::Unlimited, oom: 1, error: 0, backoff: Duration::from_secs(10) }
    }
}

/// The settings of a component's stages: its own, else those of the file that uses it.
pub(super) fn inherited(own: &Defaults, outer: &Defaults) -> Defaults {
    Defaults {
        timeout: own.timeout.or(outer.timeout),
        queue_timeout: own.queue_timeout.or(outer.queue_timeout),
        stall: own.stall.or(outer.stall),
        resources: own.resources.or(&outer.resources),
        retry: merged(&own.retry, &outer.retry),
    }
}

fn merged(own: &RetryDocument, outer: &RetryDocument) -> RetryDocument {
    RetryDocument {
        infra: own.infra.or(outer.infra),
        preempt: own.preempt.or(outer.preempt),
        oom: own.oom.or(outer.oom),
        error: own.error.or(outer.error),
        backoff: own.backoff.or(outer.backoff),
    }
}

/// How a stage is run.
pub(super) fn of(document: &StageDocument, defaults: &Defaults, stage: &dyn DynStage) -> Operations {
    let stall = match document.stall.or(defaults.stall) {
        Some(Stall::Off) => None,
        Some(Stall::After(silence)) => Some(silence),
        None => stage.stall(),
    };
    let written = document.resources.or(&defaults.resources);
    Operations {
        threads: written.cpus,
        resources: resources(&written, stage.resources()),
        retry: retry(&merged(&document.retry, &defaults.retry)),
        timeout: document.timeout.or(defaults.timeout).map(Period::get),
        queue_timeout: document.queue_timeout.or(defaults.queue_timeout).map(Period::get),
        stall,
    }
}

fn retry(written: &RetryDocument) -> Retry {
    let standard = Retry::default();
    Retry {
        infra: written.infra.unwrap_or(standard.infra),
        preempt: written.preempt.unwrap_or(standard.preempt),
        oom: written.oom.unwrap_or(standard.oom),
        error: written.error.unwrap_or(standard.error),
        backoff: written.backoff.map_or(standard.backoff, Period::get),
    }
}

fn resources(written: &ResourcesDocument, declared: Resources) -> Resources {
    let mut tokens = declared.tokens;
    tokens.extend(written.tokens.clone());
    tokens.retain(|_, count| *count > 0);
    Resources {
        cpus: written.cpus.unwrap_or(declared.cpus),
        mem: written.mem.unwrap_or(declared.mem),
        gpus: written.gpus.unwrap_or(declared.gpus),
        vram: written.vram.unwrap_or(declared.vram),
        disk: written.disk.unwrap_or(declared.disk),
        tokens,
        cap: match written.enforce {
            Some(true) => MemoryCap::Enforced,
            Some(false) => MemoryCap::Trusted,
            None => declared.cap,
        },
    }
}

/// A demand beyond the machine: the key that states it, what is wrong, and what to do.
struct Excess {
    path: Vec<&'static str>,
    message: String,
    help: String,
}

/// Tells of every stage that asks for more than this machine has.
pub(super) fn check(
    expansion: &Expansion,
    configured: &[Option<Configured>],
    settings: &MachineSettings,
    problems: &mut Problems,
) {
    let mut machine = None;
    for (member, configured) in expansion.members.iter().zip(configured) {
        let Some(scope) = expansion.scopes.get(member.scope) else { continue };
        let document = expansion.stage(member.scope, member.index).and_then(|stage| stage.document.as_deref());
        let (Some(document), Some(configured)) = (document, configured) else { continue };
        let needed = resources(&document.resources.or(&scope.defaults.resources), configured.stage.resources());
        if needed.takes_every_core() && needed == Resources::all_cpus() || needed == Resources::one_cpu() {
            continue;
        }
        let machine = machine.get_or_insert_with(|| Machine::this(settings));
        for excess in excesses(&needed, machine) {
            let path: Vec<PathStep> = excess.path.iter().map(|step| PathStep::Key((*step).to_owned())).collect();
            let texts = ("flow::plan::resources", excess.message, excess.help);
            problems.add(expansion.problem((member.scope, member.index), &path, texts));
        }
    }
}

fn excesses(needed: &Resources, machine: &Machine) -> Vec<Excess> {
    let mut found = Vec::new();
    let mut add = |key: &'static str, message: String, help: String| {
        found.push(Excess { path: vec!["resources", key], message, help });
    };
    if !needed.takes_every_core() && needed.cpus > machine.cpus {
        let message = format!("the stage needs {} cores and this machine has {}", needed.cpus, machine.cpus);
        add("cpus", message, "lower `cpus`, or run it on a larger machine".to_owned());
    }
    if needed.cpus == 0 {
        add("cpus", "a stage needs at least one core".to_owned(), "write `cpus: 1`, or leave it out".to_owned());
    }
    if needed.mem > machine.mem {
        let message = format!("the stage needs {} of memory and this machine has {}", needed.mem, machine.mem);
        add("mem", message, "lower `mem`, or run it on a larger machine".to_owned());
    }
    if needed.cap == MemoryCap::Enforced && needed.mem == Size::default() {
        add("enforce", "`enforce` has no limit to enforce".to_owned(), "add `mem`, such as `mem: 8GiB`".to_owned());
    }
    if needed.cards() > 0 {
        let fitting = machine.cards().iter().filter(|card| card.vram.is_none_or(|vram| vram >= needed.vram)).count();
        if fitting < needed.cards() as usize {
            let (key, wanted) = if needed.vram > Size::default() {
                ("vram", format!("{} graphics cards with {}", needed.cards(), needed.vram))
            } else {
                ("gpus", format!("{} graphics cards", needed.cards()))
            };
            let message = format!("the stage needs {wanted} and this machine has {fitting}");
            add(key, message, "lower it, or say `[machine] gpus = …` in flow.toml if the driver does not tell".to_owned());
        }
    }
    for (token, count) in &needed.tokens {
        let has = machine.tokens.get(token).copied().unwrap_or(0);
        if *count > has {
            let message = format!("the stage needs {count} of `{token}` and this machine has {has}");
            add("tokens", message, format!("say how many there are in flow.toml: `[machine] tokens = {{{token} = {count}}}`"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::settings::Cards;

    fn machine() -> Machine {
        Machine::this(&MachineSettings {
            cpus: Some(4),
            mem: Some(Size::gib(8)),
            gpus: Some(Cards::Named(vec!["GPU-a".into(), "GPU-b".into()])),
            vram: Some(Size::gib(24)),
            tokens: BTreeMap::from([("licence".to_owned(), 2)]),
        })
    }

    fn keys(needed: &Resources) -> Vec<&'static str> {
        excesses(needed, &machine()).iter().map(|excess| excess.path[1]).collect()
    }

    #[test]
    fn a_demand_that_the_machine_meets_is_no_problem() {
        let tokens = BTreeMap::from([("licence".to_owned(), 2)]);
        let all = Resources { mem: Size::gib(8), gpus: 2, vram: Size::gib(24), tokens, ..Resources::cpus(4) };
        assert_eq!(keys(&all), Vec::<&str>::new());
        assert_eq!(keys(&Resources::all_cpus()), Vec::<&str>::new());
    }

    #[test]
    fn every_demand_beyond_the_machine_is_told() {
        let tokens = BTreeMap::from([("licence".to_owned(), 3), ("dongle".to_owned(), 1)]);
        let all = Resources { mem: Size::gib(9), gpus: 3, tokens, ..Resources::cpus(5) };
        assert_eq!(keys(&all), ["cpus", "mem", "gpus", "tokens", "tokens"]);
        assert_eq!(keys(&Resources { vram: Size::gib(80), ..Resources::one_cpu() }), ["vram"]);
        assert_eq!(keys(&Resources { cap: MemoryCap::Enforced, ..Resources::cpus(0) }), ["cpus", "enforce"]);
    }
}
