//! From `uses:` and `with:` to a configured stage, and the operational settings beside it.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    command::{self, CommandSite, Sightings},
    expand::Expansion,
    recent::Recent,
};
use crate::{
    DynStage, Ports, StageRegistry,
    registry::{Kind, PathStep},
    workflow::{LoadedStage, Problems, StageDocument, Telling, every_other_error, suggest, unknown_field},
};

/// A stage with its parsed configuration and its own seed, if it states one.
#[derive(Clone)]
pub(super) struct Configured {
    pub(super) stage: Arc<dyn DynStage>,
    pub(super) ports: Arc<Ports>,
    pub(super) seed: Option<u64>,
}

/// Configures the members of an expansion.
pub(super) struct Configuring<'a> {
    expansion: &'a Expansion,
    registry: &'a StageRegistry,
    problems: &'a mut Problems,
    /// Ports that were seen last: stages of one kind share them.
    recent: Recent<Ports>,
    sightings: Sightings,
}

/// A member by its scope and its place in it.
#[derive(Clone, Copy)]
struct Subject<'a> {
    at: (usize, usize),
    stage: &'a LoadedStage,
    document: &'a StageDocument,
}

impl<'a> Configuring<'a> {
    pub(super) fn new(expansion: &'a Expansion, registry: &'a StageRegistry, problems: &'a mut Problems) -> Self {
        Self { expansion, registry, problems, recent: Recent::default(), sightings: Sightings::default() }
    }

    fn configured(&mut self, stage: Arc<dyn DynStage>, seed: Option<u64>) -> Configured {
        let ports = self.recent.share(stage.ports());
        Configured { stage, ports, seed }
    }

    /// The configured stage of every member; none where a problem was told.
    pub(super) fn all(&mut self) -> Vec<Option<Configured>> {
        let expansion = self.expansion;
        let one = |(scope, index): (usize, usize)| {
            if self.problems.are_enough() {
                return None;
            }
            let stage = expansion.stage(scope, index).filter(|stage| !stage.has_gap("uses"))?;
            self.stage(Subject { at: (scope, index), stage, document: stage.document.as_deref()? })
        };
        expansion.members.iter().map(|member| (member.scope, member.index)).map(one).collect()
    }

    fn stage(&mut self, subject: Subject<'_>) -> Option<Configured> {
        let (name, major) = match subject.document.uses.split_once('@') {
            Some((name, major)) => (name, Some(major)),
            None => (subject.document.uses.as_str(), None),
        };
        if name == command::KIND {
            self.check_major(subject, (name, 1), major)?;
            return self.command(subject);
        }
        let registry = self.registry;
        let Some(kind) = registry.kind(name) else {
            let known = registry.kinds().map(|kind| kind.name).chain([command::KIND]);
            let help = format!("{}; `flow stages` lists them", suggest::help(name, "kinds", known));
            self.add(subject, &["uses"], ("flow::plan::unknown_kind", format!("unknown stage kind `{name}`"), help));
            return None;
        };
        self.check_major(subject, (kind.name, kind.major), major)?;
        self.refuse_command_keys(subject, kind.name);
        self.built_in(subject, kind)
    }

    fn check_major(&mut self, subject: Subject<'_>, known: (&str, u32), written: Option<&str>) -> Option<()> {
        let (name, major) = known;
        let message = match written {
            Some(written) if written == major.to_string() => return Some(()),
            Some(written) => format!("stage kind `{name}` has no version {written}"),
            None => format!("stage kind `{name}` needs a version"),
        };
        self.add(subject, &["uses"], ("flow::plan::kind_version", message, format!("write `uses: {name}@{major}`")));
        None
    }

    fn built_in(&mut self, subject: Subject<'_>, kind: &Kind) -> Option<Configured> {
        let mut with: Map<String, Value> = subject.document.with.clone().into_iter().flatten().collect();
        let holes = subject.stage.holes_below("with");
        let seed = match with.shift_remove("seed").filter(|_| !holes.contains(&vec![PathStep::key("seed")])) {
            Some(value) => Some(self.seed(subject, &value)?),
            None => None,
        };
        // Without its `with:` nothing can be said about what is missing there.
        let untold = subject.stage.has_gap("with") && subject.document.with.is_none();
        match every_other_error((&Value::Object(with), holes), |value| kind.configure(value)) {
            Ok(stage) => Some(self.configured(stage, seed)),
            Err(_) if untold => None,
            Err(partial) => {
                let reference = format!("`flow stages {}` shows every option", kind.name);
                let node = self.expansion.scopes.get(subject.at.0).and_then(|scope| scope.loaded.stage_node(subject.at.1));
                let whole = self.expansion.problem(subject.at, &[PathStep::key("with")], ("", String::new(), String::new()));
                let with = node.and_then(|node| node.get("with"));
                let telling = Telling { file: &whole.file, node: with, whole: whole.span, reference: &reference };
                telling.tell(&partial.errors, self.problems);
                // Without keys that nobody knows it is the stage that was meant, so its ports can be checked.
                let known = partial.errors.iter().all(|error| unknown_field(&error.message).is_some());
                partial.rest.filter(|_| known).map(|stage| self.configured(stage, seed))
            }
        }
    }

    fn seed(&mut self, subject: Subject<'_>, value: &Value) -> Option<u64> {
        let seed = value.as_u64();
        if seed.is_none() {
            let texts =
                ("flow::workflow::invalid_value", format!("invalid value of `seed`: {value}"), "write a whole number".to_owned());
            self.add(subject, &["with", "seed"], texts);
        }
        seed
    }

    fn command(&mut self, subject: Subject<'_>) -> Option<Configured> {
        let scope = self.expansion.scopes.get(subject.at.0)?;
        let root = self.expansion.scopes.first()?;
        let relative = command::relative_folder(&root.folder, &scope.folder);
        let site = CommandSite { folder: &scope.folder, relative, sightings: &self.sightings };
        match command::build(subject.document, &site) {
            Ok(stage) => Some(self.configured(Arc::new(stage), None)),
            Err(findings) => {
                for finding in findings.into_iter().filter(|finding| !follows(subject.stage, &finding.path)) {
                    let texts = (finding.code, finding.message, finding.help);
                    self.problems.add(self.expansion.problem(subject.at, &finding.path, texts));
                }
                None
            }
        }
    }

    /// `run`, `code`, `env`, `out`, and the like say nothing to a built-in stage.
    fn refuse_command_keys(&mut self, subject: Subject<'_>, kind: &str) {
        for key in subject.stage.command_keys.iter().copied() {
            let message = format!("`{key}:` belongs to commands, not to `{kind}`");
            let help = format!("configure `{kind}` with `with:`, or write `uses: cmd@1`");
            self.add(subject, &[key], ("flow::plan::command_key", message, help));
        }
    }

    fn add(&mut self, subject: Subject<'_>, path: &[&str], texts: (&'static str, String, String)) {
        let path: Vec<_> = path.iter().map(|step| PathStep::Key((*step).to_owned())).collect();
        self.problems.add(self.expansion.problem(subject.at, &path, texts));
    }
}

/// Whether what is found at a place of a command may only follow from a problem that is told already.
fn follows(stage: &LoadedStage, path: &[PathStep]) -> bool {
    let Some(PathStep::Key(key)) = path.first() else { return false };
    stage.has_gap(key) || (key == "run" && ["in", "out", "code"].iter().any(|other| stage.has_gap(other)))
}
