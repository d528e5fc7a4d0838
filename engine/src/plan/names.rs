//! What a name in a file stands for: a stage, one instance of a stage with `foreach:`, or several of them.
//!
//! `clean` is a stage, `clean@fr` an instance, `clean@*` all instances in the order of the axes, and `clean@fr,*` those with a
//! given name on the first axis.

use super::expand::{Scope, Target};
use crate::workflow::suggest;

/// What a name stands for.
#[derive(Debug)]
pub(super) enum Lookup {
    /// One stage or component.
    One(Target),
    /// Instances, in the order of their keys.
    Many(Vec<Target>),
    /// Something whose problem is told already.
    Broken,
    /// A stage with `foreach:`, named without a key: its instances.
    Whole(Vec<Target>),
    /// Nothing: message and help.
    Nothing(String, String),
}

impl Scope {
    /// Finds what a name in this file stands for.
    pub(super) fn lookup(&self, name: &str) -> Lookup {
        let (base, key) = name.split_once('@').map_or((name, None), |(base, key)| (base, Some(key)));
        match (self.loaded.groups.get(base), key) {
            (Some(range), _) if range.is_empty() => Lookup::Broken,
            (Some(range), None) => Lookup::Whole(self.targets_in(range.clone())),
            (Some(range), Some(pattern)) if pattern.contains('*') => self.gather(name, range.clone()),
            (Some(_), Some(key)) => match self.find(name) {
                Some(target) => Lookup::One(target),
                None => self.no_instance(base, key),
            },
            (None, None) => self.find(name).map_or_else(|| self.no_stage(name), Lookup::One),
            (None, Some(_)) => match self.find(base) {
                Some(Target::Broken) => Lookup::Broken,
                Some(_) => {
                    let message = format!("`{name}` names an instance, but stage `{base}` has no `foreach:`");
                    Lookup::Nothing(message, format!("write `{base}`"))
                }
                None => self.no_stage(base),
            },
        }
    }

    fn find(&self, name: &str) -> Option<Target> {
        let stages = &self.loaded.stages;
        let named = |place: &usize| stages.get(*place).map_or("", |stage| stage.name.as_str());
        let found = self.by_name.binary_search_by(|place| named(place).cmp(name)).ok()?;
        self.targets.get(*self.by_name.get(found)?).copied()
    }

    fn targets_in(&self, range: std::ops::Range<usize>) -> Vec<Target> {
        self.targets.get(range).map(<[Target]>::to_vec).unwrap_or_default()
    }

    fn gather(&self, pattern: &str, range: std::ops::Range<usize>) -> Lookup {
        let fitting =
            range.clone().filter(|place| self.loaded.stages.get(*place).is_some_and(|stage| fits(pattern, &stage.name)));
        let found: Vec<Target> = fitting.filter_map(|place| self.targets.get(place).copied()).collect();
        if found.is_empty() {
            let base = pattern.split('@').next().unwrap_or_default();
            let message = format!("no instance of `{base}` fits `{pattern}`");
            return Lookup::Nothing(message, format!("`*` stands for one whole name; {}", self.keys_of(range)));
        }
        Lookup::Many(found)
    }

    fn no_instance(&self, base: &str, key: &str) -> Lookup {
        let range = self.loaded.groups.get(base).cloned().unwrap_or_default();
        let keys = self.loaded.stages.get(range).unwrap_or_default();
        let known = keys.iter().filter_map(|stage| stage.name.split_once('@')).map(|(_, key)| key);
        Lookup::Nothing(format!("stage `{base}` has no instance `{key}`"), suggest::help(key, "instances", known))
    }

    fn no_stage(&self, name: &str) -> Lookup {
        Lookup::Nothing(format!("unknown stage `{name}`"), suggest::help(name, "stages", self.loaded.stage_names()))
    }

    fn keys_of(&self, range: std::ops::Range<usize>) -> String {
        const SHOWN: usize = 6;
        let stages = self.loaded.stages.get(range).unwrap_or_default();
        let shown: Vec<&str> = stages.iter().take(SHOWN).map(|stage| stage.name.as_str()).collect();
        let more = if stages.len() > SHOWN { ", …" } else { "" };
        format!("its instances are {}{more}", shown.join(", "))
    }

    /// What to write instead of a stage with `foreach:` without a key.
    pub(super) fn whole_help(&self, name: &str) -> String {
        let range = self.loaded.groups.get(name).cloned().unwrap_or_default();
        let first = self.loaded.stages.get(range.start).map_or(name, |stage| stage.name.as_str());
        format!("write `{name}@*` for all of its instances, or `{first}` for one")
    }
}

/// Whether a reference gathers: its key holds a `*`.
pub(crate) fn gathers(reference: &str) -> bool {
    reference.split_once('@').is_some_and(|(_, key)| key.contains('*'))
}

/// Whether a stage of a plan is meant by a name: its own, that of a component around it, that of the stage it is an instance
/// of, or one with `*` for names in its key.
pub fn selects(wanted: &str, stage: &str) -> bool {
    let mut parts = stage.split('/');
    wanted.split('/').all(|wanted| parts.next().is_some_and(|part| fits(wanted, part)))
}

/// Whether one part of a stage's name fits: `clean` and `clean@*` fit `clean@fr`.
fn fits(wanted: &str, part: &str) -> bool {
    let (wanted_base, wanted_key) = split(wanted);
    let (base, key) = split(part);
    let fits_key = match (wanted_key, key) {
        (None, _) | (Some("*"), Some(_)) => true,
        (Some(_), None) => false,
        (Some(wanted), Some(key)) => {
            let names = || wanted.split(',').zip(key.split(','));
            wanted.split(',').count() == key.split(',').count() && names().all(|(wanted, name)| wanted == "*" || wanted == name)
        }
    };
    wanted_base == base && fits_key
}

fn split(name: &str) -> (&str, Option<&str>) {
    name.split_once('@').map_or((name, None), |(base, key)| (base, Some(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_selects_its_stage_its_instances_and_what_is_below_it() {
        for (wanted, stage, selected) in [
            ("clean", "clean", true),
            ("clean", "cleanse", false),
            ("clean", "clean@fr", true),
            ("clean@*", "clean@fr,s", true),
            ("clean@fr", "clean@fr,s", false),
            ("clean@fr,*", "clean@fr,s", true),
            ("clean@*,m", "clean@fr,s", false),
            ("clean@*", "clean", false),
            ("clean@fr", "clean@fr.ca", false),
            ("curate", "curate@fr/dedup", true),
            ("curate@fr", "curate@fr/dedup", true),
            ("curate@*/dedup", "curate@fr/dedup@s", true),
            ("curate/dedup@s", "curate@fr/dedup@s", true),
            ("curate/clean", "curate@fr/dedup", false),
            ("dedup", "curate/dedup", false),
            ("curate/dedup", "curate", false),
        ] {
            assert_eq!(selects(wanted, stage), selected, "{wanted} {stage}");
        }
    }

    #[test]
    fn a_reference_gathers_when_its_key_holds_a_star() {
        assert!(gathers("clean@*.rows") && gathers("clean@fr,*.rows"));
        assert!(!gathers("clean.rows") && !gathers("clean@fr.rows") && !gathers("clean.*"));
    }
}
