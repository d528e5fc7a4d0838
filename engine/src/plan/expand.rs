//! Components: a workflow file and every file it uses, as one list of stages.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use super::operations;
use crate::{
    component::{Components, SCHEME},
    project::Project,
    registry::PathStep,
    workflow::{
        Defaults, Given, GivenValue, Loaded, LoadedStage, Loading, Opened, Problem, Problems, Span, StageDocument, TreeCache,
        load, open,
    },
};

/// Components inside each other, at most.
const DEPTH: usize = 16;
/// Stages of a plan, at most: components and `foreach:` multiply.
const STAGES: usize = 1_000_000;

/// One use of a file: the workflow itself, or a component with its own names and parameters.
pub(super) struct Scope {
    pub(super) loaded: Loaded,
    /// What stands before the names of its stages.
    pub(super) prefix: Arc<str>,
    pub(super) params: Arc<BTreeMap<String, Value>>,
    /// The stage that uses it: its scope, and its place among that scope's stages.
    pub(super) user: Option<(usize, usize)>,
    /// What each stage of the file stands for, in the order of the file.
    pub(super) targets: Vec<Target>,
    /// Places of the stages of the file, sorted by their names.
    pub(super) by_name: Vec<usize>,
    /// The stages in it, those of its components included.
    pub(super) members: Range<usize>,
    pub(super) folder: PathBuf,
    pub(super) seed: u64,
    pub(super) defaults: Defaults,
}

/// What a stage's name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A stage of the plan.
    Stage(usize),
    /// A component.
    Component(usize),
    /// Something whose problem is told already.
    Broken,
}

/// One stage of the plan before it is configured.
pub(super) struct Member {
    /// Its name in the plan.
    pub(super) name: String,
    pub(super) scope: usize,
    /// Its place among its scope's stages.
    pub(super) index: usize,
}

/// All files and all stages.
#[derive(Default)]
pub(super) struct Expansion {
    pub(super) scopes: Vec<Scope>,
    pub(super) members: Vec<Member>,
    components: Option<Components>,
    trees: TreeCache,
    /// Where components of repositories lie, by what they are called: each is verified once.
    located: BTreeMap<String, PathBuf>,
    /// Files that were read, by their real paths; none for one with a problem that is told.
    opened: BTreeMap<PathBuf, Option<Opened>>,
    /// Whether there are too many stages, which is told.
    full: bool,
}

/// A stage that uses a component.
#[derive(Clone, Copy)]
struct User<'a> {
    scope: usize,
    index: usize,
    document: &'a StageDocument,
}

impl Expansion {
    /// Reads the workflow file and, through its stages, every component.
    pub(super) fn of(project: &Project, loading: &Loading<'_>, problems: &mut Problems) -> Self {
        let mut expansion = Self { components: Some(Components::new(project)), trees: TreeCache::of(project), ..Self::default() };
        let file = project.workflow_file.as_path();
        let mut within = vec![canonical(file)];
        expansion.read((file, loading), None, (&mut within, problems));
        expansion
    }

    fn read(
        &mut self,
        (path, loading): (&Path, &Loading<'_>),
        user: Option<(usize, usize)>,
        state: (&mut Vec<PathBuf>, &mut Problems),
    ) -> Option<usize> {
        let (within, problems) = state;
        let real = within.last().cloned().unwrap_or_else(|| path.to_owned());
        // A component may be used again; the workflow itself is not, and its tree may be large.
        let opened = match user {
            Some(_) => self.opened.entry(real).or_insert_with(|| open(path, &self.trees, problems)).clone()?,
            None => open(path, &self.trees, problems)?,
        };
        let loaded = load(opened, loading, problems);
        let scope = self.scopes.len();
        let next = self.members.len();
        let created = self.scope(loaded, path, user);
        self.scopes.push(created);
        self.stages(scope, within, problems);
        if let Some(scope) = self.scopes.get_mut(scope) {
            scope.members = next..self.members.len();
            scope.loaded.forget_tree();
        }
        Some(scope)
    }

    fn scope(&self, loaded: Loaded, path: &Path, user: Option<(usize, usize)>) -> Scope {
        let outer = user.and_then(|(scope, index)| Some((self.scopes.get(scope)?, index)));
        let prefix = outer.and_then(|(scope, index)| Some(format!("{}{}/", scope.prefix, scope.loaded.stages.get(index)?.name)));
        let own = loaded.document.as_ref().map(|document| document.defaults.clone()).unwrap_or_default();
        let defaults = match outer {
            Some((scope, _)) => operations::inherited(&own, &scope.defaults),
            None => own,
        };
        let seed = loaded.document.as_ref().and_then(|document| document.seed);
        let known = loaded.params.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        Scope {
            params: Arc::new(known.collect()),
            prefix: prefix.unwrap_or_default().into(),
            user,
            targets: Vec::with_capacity(loaded.stages.len()),
            by_name: sorted(&loaded.stages),
            members: 0..0,
            folder: path.parent().map(Path::to_owned).unwrap_or_default(),
            seed: seed.or(outer.map(|(scope, _)| scope.seed)).unwrap_or(0),
            defaults,
            loaded,
        }
    }

    fn stages(&mut self, scope: usize, within: &mut Vec<PathBuf>, problems: &mut Problems) {
        let count = self.scopes.get(scope).map_or(0, |scope| scope.loaded.stages.len());
        for index in 0..count {
            let target = self.target((scope, index), within, problems);
            if let Some(scope) = self.scopes.get_mut(scope) {
                scope.targets.push(target);
            }
        }
    }

    fn target(&mut self, (scope, index): (usize, usize), within: &mut Vec<PathBuf>, problems: &mut Problems) -> Target {
        let Some((scope_of, stage)) = self.scopes.get(scope).and_then(|of| Some((of, of.loaded.stages.get(index)?))) else {
            return Target::Broken;
        };
        let Some(document) = &stage.document else { return Target::Broken };
        if self.full {
            return Target::Broken;
        }
        if self.members.len() >= STAGES {
            let message = format!("the workflow has more than {STAGES} stages");
            let help = "use fewer values in `foreach:`, or several workflows".to_owned();
            problems.add(self.problem((scope, index), &[], ("flow::plan::too_many", message, help)));
            self.full = true;
            return Target::Broken;
        }
        if is_component(&document.uses) {
            if stage.has_gap("uses") || stage.has_gap("with") {
                return Target::Broken;
            }
            let document = document.clone();
            let user = User { scope, index, document: &document };
            return self.component(user, within, problems).map_or(Target::Broken, Target::Component);
        }
        let name = format!("{}{}", scope_of.prefix, stage.name);
        self.members.push(Member { name, scope, index });
        Target::Stage(self.members.len() - 1)
    }

    fn component(&mut self, user: User<'_>, within: &mut Vec<PathBuf>, problems: &mut Problems) -> Option<usize> {
        self.refuse_stage_keys(user, problems);
        let place = [PathStep::Key("uses".to_owned())];
        let path = match self.file_of(user) {
            Ok(path) => path,
            Err(texts) => {
                problems.add(self.problem((user.scope, user.index), &place, texts));
                return None;
            }
        };
        let real = canonical(&path);
        let refusal = if within.contains(&real) {
            Some((
                "flow::plan::component_cycle",
                format!("component {} uses itself", user.document.uses),
                "break the circle of `uses:`",
            ))
        } else if !path.is_file() {
            let help = "name an existing file, relative to this one";
            Some(("flow::plan::unknown_component", format!("cannot find component {}", user.document.uses), help))
        } else if within.len() > DEPTH {
            let message = format!("components are nested deeper than {DEPTH}");
            Some(("flow::plan::component_depth", message, "use fewer levels of components"))
        } else {
            None
        };
        if let Some((code, message, help)) = refusal {
            problems.add(self.problem((user.scope, user.index), &place, (code, message, help.to_owned())));
            return None;
        }
        let given = self.given(user);
        within.push(real);
        let loading = Loading { given: &given, profile: None };
        let scope = self.read((&path, &loading), Some((user.scope, user.index)), (within, problems));
        within.pop();
        scope
    }

    /// Where a component's file should lie, or why it cannot be had.
    fn file_of(&mut self, user: User<'_>) -> Result<PathBuf, (&'static str, String, String)> {
        let name = user.document.uses.as_str();
        if let Some(path) = self.located.get(name) {
            return Ok(path.clone());
        }
        let folder = self.scopes.get(user.scope).map_or_else(|| Path::new(""), |scope| scope.folder.as_path());
        let Some(components) = &self.components else { return Ok(folder.join(name)) };
        if name.starts_with(SCHEME) {
            let path = components.locate(name).map_err(|error| {
                let (message, help) = error.texts();
                (error.code(), message, help)
            })?;
            self.located.insert(name.to_owned(), path.clone());
            return Ok(path);
        }
        // Collecting the parts drops every `./`, which would only clutter messages.
        let path: PathBuf = folder.join(name).components().collect();
        if components.stays_inside(folder, name) {
            return Ok(path);
        }
        let help = "a component of a repository uses files of that repository, and other repositories by `git:`";
        Err(("flow::component::outside", format!("component {name} lies outside its repository"), help.to_owned()))
    }

    /// The parameters that a component's user sets.
    fn given(&self, user: User<'_>) -> BTreeMap<String, Given> {
        let Some(scope) = self.scopes.get(user.scope) else { return BTreeMap::new() };
        let with = user.document.with.iter().flatten();
        with.map(|(name, value)| {
            let path = [PathStep::Key("with".to_owned()), PathStep::Key(name.clone())];
            let span = scope.loaded.stage_node(user.index).map(|node| node.place(&path).pointer()).unwrap_or_default();
            let value = GivenValue::Typed(Some(value.clone()));
            (name.clone(), Given { value, file: scope.loaded.file.clone(), span })
        })
        .collect()
    }

    /// Keys that say how one stage runs mean nothing on a component, which is many stages.
    fn refuse_stage_keys(&self, user: User<'_>, problems: &mut Problems) {
        const ALLOWED: [&str; 5] = ["uses", "foreach", "in", "with", "needs"];
        let node = self.scopes.get(user.scope).and_then(|scope| scope.loaded.stage_node(user.index));
        for entry in node.iter().flat_map(|node| node.entries()) {
            if !ALLOWED.contains(&entry.key.as_str()) {
                let path = [PathStep::Key(entry.key.clone())];
                let message = format!("a component takes no `{}:`", entry.key);
                let help =
                    "set it on the stages inside the component; its user sets `foreach`, `in`, `with`, and `needs`".to_owned();
                problems.add(self.problem((user.scope, user.index), &path, ("flow::plan::component", message, help)));
            }
        }
    }

    pub(super) fn stage(&self, scope: usize, index: usize) -> Option<&LoadedStage> {
        self.scopes.get(scope)?.loaded.stages.get(index)
    }

    /// A problem of a stage, at a path inside it; at its name when the path is not in the text.
    pub(super) fn problem(&self, stage: (usize, usize), path: &[PathStep], texts: (&'static str, String, String)) -> Problem {
        let (code, message, help) = texts;
        let (scope, index) = stage;
        let scope = &self.scopes[scope];
        let name = scope.loaded.stages.get(index).map_or(Span::default(), |stage| stage.name_span);
        let place = scope.loaded.stage_node(index).map(|node| node.place(path));
        // Without a key and not a scalar, the place is the stage as a whole.
        let span = place.filter(|place| place.key.is_some() || !place.collection).map_or(name, |place| match path.last() {
            Some(PathStep::Key(_)) if names_its_key(code) => place.name(),
            _ => place.pointer(),
        });
        Problem { code, message, file: scope.loaded.file.clone(), span, label: "here".to_owned(), help }
    }

    /// The stages a target stands for.
    pub(super) fn members_of(&self, target: Target) -> Range<usize> {
        match target {
            Target::Stage(member) => member..member + 1,
            Target::Component(scope) => self.scopes.get(scope).map_or(0..0, |scope| scope.members.clone()),
            Target::Broken => 0..0,
        }
    }
}

/// Places of stages, sorted by name.
fn sorted(stages: &[LoadedStage]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..stages.len()).collect();
    let name = |place: &usize| stages.get(*place).map_or("", |stage| stage.name.as_str());
    places.sort_by(|one, other| name(one).cmp(name(other)));
    places
}

/// Whether a problem is about a key and not about its value.
fn names_its_key(code: &str) -> bool {
    matches!(code, "flow::plan::unknown_port" | "flow::plan::component" | "flow::plan::command_key")
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn is_component(uses: &str) -> bool {
    let yaml = Path::new(uses).extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    yaml || uses.starts_with(SCHEME) || uses.starts_with("./") || uses.starts_with("../") || uses.starts_with('/')
}
