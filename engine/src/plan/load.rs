//! [`Plan::load`]: from a file to a plan, through expansion, configuration, binding, expressions, and order.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use petgraph::graph::{DiGraph, NodeIndex};

use super::{
    Binding as PlannedBinding, Edge, Origin, Plan, PlanErrors, PlanRequest, PlannedStage,
    bind::{Binding, Bound},
    configure::{Configured, Configuring},
    expand::Expansion,
    expressions::{Expressions, Reader},
    files::Files,
    names::{Lookup, selects},
    operations::{self, Operations},
    order,
    recent::Recent,
};
use crate::workflow::{Given, GivenValue, Loading, Problem, Problems, SourceText, Span, suggest};

impl Plan {
    /// Reads, resolves, and checks a workflow. On failure every problem of every file is in the error.
    pub fn load(request: &PlanRequest<'_>) -> Result<Self, PlanErrors> {
        Self::read(request, Look::AtText)
    }

    /// Does the same, and looks whether the files are there that stages name, with every profile unless one is asked for.
    pub fn check(request: &PlanRequest<'_>) -> Result<Self, PlanErrors> {
        let plan = Self::read(request, Look::AlsoAtFiles)?;
        let mut found = Vec::new();
        for profile in plan.profiles.iter().filter(|_| request.profile.is_none()) {
            let with_profile = Self::read(&PlanRequest { profile: Some(profile), ..*request }, Look::AlsoAtFiles);
            let problems = with_profile.err().into_iter().flat_map(PlanErrors::into_problems);
            found.extend(problems.map(|mut problem| {
                problem.message = format!("{} (with profile `{profile}`)", problem.message);
                problem
            }));
        }
        if found.is_empty() { Ok(plan) } else { Err(PlanErrors::new(found)) }
    }

    fn read(request: &PlanRequest<'_>, look: Look) -> Result<Self, PlanErrors> {
        let mut problems = Problems::default();
        let given = given(request.params, &mut problems);
        let loading = Loading { given: &given, profile: request.profile };
        let expansion = Expansion::of(request.project, &loading, &mut problems);
        let configured = Configuring::new(&expansion, request.registry, &mut problems).all();
        let bound = Binding::new(&expansion, &configured, &mut problems).all();
        let expressions = Reader::new(&expansion, &mut problems).all();
        operations::check(&expansion, &configured, &request.project.settings.machine, &mut problems);
        let waits = waits(&bound, &expressions);
        let order = order::topological(&waits).unwrap_or_else(|circles| {
            // Instances of one stage close the same circle; one of them tells it.
            let mut told = BTreeSet::new();
            let place = |circle: &Vec<usize>| {
                let member = expansion.members.get(*circle.first()?)?;
                Some((member.scope, expansion.stage(member.scope, member.index)?.entry))
            };
            for circle in circles.iter().filter(|circle| told.insert(place(circle))) {
                problems.add(cycle(&expansion, circle));
            }
            Vec::new()
        });
        let kept = kept(request.only, &expansion, &waits, &mut problems);
        if look == Look::AlsoAtFiles {
            let base = &request.project.base;
            Files { expansion: &expansion, configured: &configured, base, problems: &mut problems }.look();
        }
        if !problems.is_empty() {
            return Err(PlanErrors::new(problems.into_sorted()));
        }
        drop(waits);
        let parts = Parts { expansion, configured, bound, expressions, operations: Recent::default() };
        Ok(parts.plan(request, &order, &kept))
    }
}

/// What is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    AtText,
    AlsoAtFiles,
}

/// `-p NAME=VALUE`, by name.
fn given(params: &[(String, String)], problems: &mut Problems) -> BTreeMap<String, Given> {
    let mut given = BTreeMap::new();
    for (name, text) in params {
        let line = format!("-p {name}={text}");
        let span = Span::new(0, line.len());
        let file = SourceText::new("command line", line);
        if name.is_empty() {
            let message = "a parameter given with -p has no name".to_owned();
            let help = "write `-p NAME=VALUE`".to_owned();
            problems.add(Problem { code: "flow::params::unknown", message, file, span, label: "here".to_owned(), help });
            continue;
        }
        given.insert(name.clone(), Given { value: GivenValue::Text(text.clone()), file, span });
    }
    given
}

fn waits(bound: &[Bound], expressions: &[Expressions]) -> Vec<BTreeSet<usize>> {
    let one = |(bound, expressions): (&Bound, &Expressions)| {
        let data = bound.outputs().map(|(member, _)| *member);
        data.chain(bound.needs.iter().copied()).chain(expressions.reads.iter().copied()).collect()
    };
    bound.iter().zip(expressions).map(one).collect()
}

fn cycle(expansion: &Expansion, circle: &[usize]) -> Problem {
    let names: Vec<&str> =
        circle.iter().filter_map(|member| expansion.members.get(*member)).map(|member| member.name.as_str()).collect();
    let at =
        circle.first().and_then(|member| expansion.members.get(*member)).map_or((0, 0), |member| (member.scope, member.index));
    let message = match names.as_slice() {
        [alone] => format!("stage `{alone}` waits for itself"),
        names => format!("stages wait for each other: {} -> {}", names.join(" -> "), names.first().copied().unwrap_or_default()),
    };
    let help = "remove one of the `in:`, `needs:`, or expressions that close the circle".to_owned();
    expansion.problem(at, &[], ("flow::plan::cycle", message, help))
}

/// The members that `--only` keeps.
fn kept(only: &[String], expansion: &Expansion, waits: &order::Waits, problems: &mut Problems) -> BTreeSet<usize> {
    if only.is_empty() {
        return (0..expansion.members.len()).collect();
    }
    let mut wanted = BTreeSet::new();
    for name in only {
        let found = named(expansion, name);
        if found.is_empty() && !follows(name, expansion, problems) {
            let line = format!("--only {name}");
            let span = Span::new(0, line.len());
            let help = names_help(name, expansion);
            let file = SourceText::new("command line", line);
            let message = format!("unknown stage `{name}`");
            problems.add(Problem { code: "flow::plan::unknown_stage", message, file, span, label: "here".to_owned(), help });
        }
        wanted.extend(found);
    }
    order::with_needs(waits, wanted)
}

/// The members that a name of `--only` selects.
fn named(expansion: &Expansion, name: &str) -> BTreeSet<usize> {
    let is_named = |(_, member): &(usize, &super::expand::Member)| selects(name, &member.name);
    expansion.members.iter().enumerate().filter(is_named).map(|(index, _)| index).collect()
}

/// Whether a name that selects nothing may only follow from a problem that is told already: of its stage, or of the file.
fn follows(name: &str, expansion: &Expansion, problems: &Problems) -> bool {
    let first = name.split('/').next().unwrap_or_default();
    let is_unknown = |root: &super::expand::Scope| matches!(root.lookup(first), Lookup::Nothing(..));
    !problems.is_empty() && !expansion.scopes.first().is_some_and(is_unknown)
}

/// Every file that was read, once; a component may be used often.
fn files(expansion: &Expansion) -> Vec<Arc<SourceText>> {
    let mut names = BTreeSet::new();
    let files = expansion.scopes.iter().map(|scope| &scope.loaded.file);
    files.filter(|file| names.insert(file.name())).cloned().collect()
}

/// Instances are many and look alike: the names of the file help more.
fn names_help(name: &str, expansion: &Expansion) -> String {
    let Some(root) = expansion.scopes.first() else { return String::new() };
    match root.lookup(name) {
        Lookup::Nothing(_, help) if !name.contains('/') => help,
        _ => suggest::help(name, "stages", expansion.members.iter().map(|member| member.name.as_str())),
    }
}

/// Everything known about the members, ready to become a graph.
struct Parts {
    expansion: Expansion,
    configured: Vec<Option<Configured>>,
    bound: Vec<Bound>,
    expressions: Vec<Expressions>,
    operations: Recent<Operations>,
}

impl Parts {
    fn plan(mut self, request: &PlanRequest<'_>, order: &[usize], kept: &BTreeSet<usize>) -> Plan {
        let index: BTreeMap<usize, NodeIndex> =
            kept.iter().enumerate().map(|(place, member)| (*member, NodeIndex::new(place))).collect();
        let mut graph = DiGraph::with_capacity(kept.len(), kept.len());
        for member in kept {
            if let Some(stage) = self.stage(*member, &index) {
                graph.add_node(stage);
            }
        }
        for (member, to) in &index {
            let data = graph.node_weight(*to).into_iter().flat_map(|stage| &stage.inputs).flat_map(|binding| &binding.from);
            let mut edges = self.ordered(*member, &index);
            edges.extend(data.map(|(from, _)| (*from, Edge::Data)));
            for (from, edge) in edges {
                graph.add_edge(from, *to, edge);
            }
        }
        let root = self.expansion.scopes.first();
        let document = root.and_then(|scope| scope.loaded.document.as_ref());
        let file_name = request.project.workflow_file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let mut by_name: Vec<NodeIndex> = graph.node_indices().collect();
        by_name.sort_by(|one, other| graph[*one].name.cmp(&graph[*other].name));
        Plan {
            workflow: document.and_then(|document| document.name.clone()).or(file_name).unwrap_or_default(),
            description: document.and_then(|document| document.description.clone()),
            params: root.map(|scope| scope.params.as_ref().clone()).unwrap_or_default(),
            order: order.iter().filter_map(|member| index.get(member).copied()).collect(),
            limit: request.limit,
            seed: root.map_or(0, |scope| scope.seed),
            profiles: root.map(|scope| scope.loaded.profiles.clone()).unwrap_or_default(),
            by_name,
            hooks: document.map(|document| document.hooks.clone()).unwrap_or_default(),
            files: files(&self.expansion),
            graph,
        }
    }

    /// Makes one stage of the plan. What it was made of is given back: a large plan would not fit twice.
    fn stage(&mut self, member: usize, index: &BTreeMap<usize, NodeIndex>) -> Option<PlannedStage> {
        let own = self.expansion.members.get_mut(member)?;
        let scope = self.expansion.scopes.get_mut(own.scope)?;
        let loaded = scope.loaded.stages.get_mut(own.index)?;
        let document = loaded.document.take()?;
        let origin = Origin { file: scope.loaded.file.clone(), span: loaded.name_span };
        let configured = self.configured.get_mut(member)?.take()?;
        let expressions = self.expressions.get_mut(member).map(std::mem::take)?;
        let inputs = std::mem::take(&mut self.bound.get_mut(member)?.inputs).into_iter().map(|(port, outputs)| PlannedBinding {
            port,
            from: outputs.into_iter().filter_map(|(member, port)| Some((*index.get(&member)?, port))).collect(),
        });
        let planned = PlannedStage {
            name: std::mem::take(&mut own.name),
            inputs: inputs.collect(),
            condition: expressions.condition,
            gates: expressions.gates,
            expectations: expressions.expectations,
            operations: self.operations.share(operations::of(&document, &scope.defaults, configured.stage.as_ref())),
            seed: configured.seed.unwrap_or(scope.seed),
            stage: configured.stage,
            params: scope.params.clone(),
            prefix: scope.prefix.clone(),
            origin,
        };
        // What it reads stays for the edges.
        if let Some(left) = self.expressions.get_mut(member) {
            left.reads = expressions.reads;
        }
        Some(planned)
    }

    /// The stages a member waits for without reading from them.
    fn ordered(&self, member: usize, index: &BTreeMap<usize, NodeIndex>) -> BTreeMap<NodeIndex, Edge> {
        let needs = self.bound.get(member).into_iter().flat_map(|bound| &bound.needs);
        let read = self.expressions.get(member).into_iter().flat_map(|expressions| &expressions.reads);
        needs.chain(read).filter_map(|from| Some((*index.get(from)?, Edge::Order))).collect()
    }
}
