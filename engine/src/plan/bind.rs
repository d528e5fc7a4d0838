//! `in:` and `needs:`: from `stage.port` to the stage that writes it, with every port's kind checked.

use std::collections::BTreeSet;

use super::{
    configure::Configured,
    expand::{Expansion, Target},
    names::{Lookup, gathers},
};
use crate::{
    ArtifactKind,
    registry::PathStep,
    stage::{Arity, Port},
    workflow::{LoadedStage, Problems, StageDocument, suggest},
};

/// Outputs that all stages of a plan read together, at most.
const CONNECTIONS: usize = 2_000_000;
/// Hops through component ports that a reference may take; more is a circle.
const HOPS: usize = 64;

/// An output: its member and its port.
pub(super) type Output = (usize, String);

/// Where the inputs of one member come from.
#[derive(Debug, Default)]
pub(super) struct Bound {
    /// Bound ports, sorted.
    pub(super) inputs: Vec<(String, Vec<Output>)>,
    /// Members that must have finished first.
    pub(super) needs: BTreeSet<usize>,
}

/// Checks and binds the members of an expansion.
pub(super) struct Binding<'a> {
    expansion: &'a Expansion,
    configured: &'a [Option<Configured>],
    problems: &'a mut Problems,
    /// Outputs that are bound so far.
    connections: usize,
}

/// What a reference leads to.
enum Found {
    /// Outputs, and the kind that a component declares for them.
    Outputs(Vec<Output>, Option<ArtifactKind>),
    /// An optional input of a component that its user did not bind.
    Unbound,
    /// Something whose problem is told already.
    Broken,
    /// Nothing: code, message, help.
    Nothing(&'static str, String, String),
}

type At = (usize, usize);

impl Bound {
    /// The outputs of all ports.
    pub(super) fn outputs(&self) -> impl Iterator<Item = &Output> {
        self.inputs.iter().flat_map(|(_, outputs)| outputs)
    }
}

impl<'a> Binding<'a> {
    pub(super) fn new(expansion: &'a Expansion, configured: &'a [Option<Configured>], problems: &'a mut Problems) -> Self {
        Self { expansion, configured, problems, connections: 0 }
    }

    pub(super) fn all(&mut self) -> Vec<Bound> {
        let expansion = self.expansion;
        for scope in 0..expansion.scopes.len() {
            self.component(scope);
        }
        let places: Vec<(usize, At)> = expansion.members.iter().map(|member| (member.scope, member.index)).enumerate().collect();
        places
            .into_iter()
            .map(|(member, at)| if self.problems.are_enough() { Bound::default() } else { self.member(member, at) })
            .collect()
    }

    fn member(&mut self, member: usize, at: At) -> Bound {
        let mut bound = Bound::default();
        let expansion = self.expansion;
        let Some((stage, document)) = expansion.stage(at.0, at.1).and_then(|stage| Some((stage, stage.document.as_deref()?)))
        else {
            return bound;
        };
        let configured = self.configured;
        let ports = configured.get(member).and_then(Option::as_ref).map(|configured| configured.ports.inputs.as_slice());
        bound.inputs = self.inputs(at, (stage, document), ports);
        bound.needs = self.needs(at, document);
        bound
    }

    fn inputs(
        &mut self,
        at: At,
        (stage, document): (&LoadedStage, &StageDocument),
        known: Option<&[Port]>,
    ) -> Vec<(String, Vec<Output>)> {
        let mut bound = Vec::new();
        for (name, binding) in &document.inputs {
            let port = known.and_then(|ports| ports.iter().find(|port| port.name == *name));
            if let (None, Some(ports)) = (port, known) {
                let help = suggest::help(name, "inputs", ports.iter().map(|port| port.name.as_str()));
                let message = format!("`{}` has no input `{name}`", document.uses);
                self.add(at, &["in", name], ("flow::plan::unknown_port", message, help));
            }
            let outputs = self.outputs_of(at, (name, &binding.from), port);
            if !outputs.is_empty() {
                bound.push((name.clone(), outputs));
            }
        }
        bound.shrink_to_fit();
        for port in known.into_iter().flatten() {
            let missing = port.arity != Arity::Optional && !document.inputs.contains_key(&port.name);
            // An input that could not be read is told where it is written.
            if missing && !stage.has_gap("in") {
                let message = format!("input `{}` of `{}` is not bound", port.name, document.uses);
                let help = format!("add `in: {{{}: STAGE.PORT}}` with an output of kind {}", port.name, port.kind.word());
                self.add(at, &["in"], ("flow::plan::missing_input", message, help));
            }
        }
        bound
    }

    fn outputs_of(&mut self, at: At, binding: (&str, &[String]), port: Option<&Port>) -> Vec<Output> {
        let (name, references) = binding;
        if references.is_empty() {
            let help = "name a `stage.port`, or remove the key".to_owned();
            self.add(at, &["in", name], ("flow::plan::missing_input", format!("input `{name}` is an empty list"), help));
        }
        let takes_one = port.is_some_and(|port| port.arity != Arity::Many);
        if references.len() > 1 && takes_one {
            let help = "bind one `stage.port`".to_owned();
            self.add(at, &["in", name], ("flow::plan::arity", format!("input `{name}` takes one artifact and not a list"), help));
        }
        let mut outputs = Vec::new();
        for (index, reference) in references.iter().enumerate() {
            let texts = match self.resolve(at.0, reference, HOPS) {
                Found::Outputs(found, _) if takes_one && (found.len() > 1 || gathers(reference)) => {
                    let message = format!("input `{name}` takes one artifact, and `{reference}` gathers several");
                    let one = found.first().map_or("", |(member, _)| self.name_of(*member));
                    Some((
                        "flow::plan::arity",
                        message,
                        format!("bind one of them, such as `{one}`, or join them in a stage before"),
                    ))
                }
                Found::Outputs(found, declared) => {
                    let wrong = port.and_then(|port| self.wrong_kind(at.0, (reference, &found, declared), port.kind));
                    self.connect(at, found, &mut outputs);
                    wrong
                }
                Found::Unbound if port.is_some_and(|port| port.arity != Arity::Optional) && references.len() == 1 => {
                    let message = format!("`{reference}` may be left out, but input `{name}` must be bound");
                    let help = "remove `optional: true` from the component's input".to_owned();
                    Some(("flow::plan::missing_input", message, help))
                }
                Found::Unbound | Found::Broken => None,
                Found::Nothing(code, message, help) => Some((code, message, help)),
            };
            if let Some(texts) = texts {
                let path = self.reference_path(at, name, index);
                self.problems.add(self.expansion.problem(at, &path, texts));
            }
        }
        outputs
    }

    /// Binds outputs, as long as all stages together do not read too many.
    fn connect(&mut self, at: At, found: Vec<Output>, outputs: &mut Vec<Output>) {
        let before = self.connections;
        self.connections += found.len();
        if self.connections <= CONNECTIONS {
            if outputs.is_empty() {
                *outputs = found;
            } else {
                outputs.extend(found);
            }
        } else if before <= CONNECTIONS {
            let message = format!("the stages read more than {CONNECTIONS} outputs together");
            let help = "gather once, in a stage that the others read from".to_owned();
            self.add(at, &["in"], ("flow::plan::too_many", message, help));
        }
    }

    fn name_of(&self, member: usize) -> &str {
        self.expansion.members.get(member).map_or("", |member| member.name.as_str())
    }

    /// The path of one reference, which is a scalar or an item of a list.
    fn reference_path(&self, at: At, name: &str, index: usize) -> Vec<PathStep> {
        let mut path = vec![PathStep::Key("in".to_owned()), PathStep::Key(name.to_owned())];
        let node = self.expansion.scopes.get(at.0).and_then(|scope| scope.loaded.stage_node(at.1));
        let binding = node.and_then(|node| node.get("in")).and_then(|inputs| inputs.get(name));
        if binding.is_some_and(|binding| !binding.items().is_empty()) {
            path.push(PathStep::Index(index));
        }
        path
    }

    /// What is wrong with the kind of a reference, if anything. A component's declaration counts before what is behind it.
    fn wrong_kind(
        &self,
        scope: usize,
        found: (&str, &[Output], Option<ArtifactKind>),
        wanted: ArtifactKind,
    ) -> Option<(&'static str, String, String)> {
        let (reference, outputs, declared) = found;
        let actual = |(member, port): &Output| self.kind_of(*member, port);
        let kinds: Vec<ArtifactKind> = declared.map_or_else(|| outputs.iter().filter_map(actual).collect(), |kind| vec![kind]);
        let kind = kinds.into_iter().find(|kind| *kind != wanted && wanted != ArtifactKind::Any)?;
        let message = format!("`{reference}` carries {} where {} is needed", kind.word(), wanted.word());
        Some(("flow::plan::kind_mismatch", message, self.fitting(scope, wanted)))
    }

    fn kind_of(&self, member: usize, port: &str) -> Option<ArtifactKind> {
        let ports = &self.configured.get(member)?.as_ref()?.ports;
        ports.outputs.iter().find(|output| output.name == port).map(|output| output.kind)
    }

    /// Outputs of a file's own stages that carry a kind.
    fn fitting(&self, scope: usize, kind: ArtifactKind) -> String {
        let own = self.expansion.scopes.get(scope);
        let outputs =
            own.into_iter().flat_map(|own| own.loaded.stages.iter().zip(&own.targets)).filter_map(
                |(stage, target)| match target {
                    Target::Stage(member) => Some((&stage.name, &self.configured.get(*member)?.as_ref()?.ports.outputs)),
                    Target::Component(_) | Target::Broken => None,
                },
            );
        let fitting = outputs.flat_map(|(name, ports)| {
            let of_kind = ports.iter().filter(|port| port.kind == kind);
            of_kind.map(|port| format!("{name}.{}", port.name)).collect::<Vec<_>>()
        });
        let fitting: Vec<String> = fitting.take(6).collect();
        match fitting.as_slice() {
            [] => format!("no stage here writes {}", kind.word()),
            names => format!("outputs that carry {}: {}", kind.word(), names.join(", ")),
        }
    }

    fn resolve(&self, scope: usize, reference: &str, hops: usize) -> Found {
        // The key of an instance may hold dots.
        let split = if reference.contains('@') { reference.rsplit_once('.') } else { reference.split_once('.') };
        let Some((stage, port)) = split.filter(|(stage, port)| !stage.is_empty() && !port.is_empty()) else {
            let help = "write `stage.port`, such as `clean.rows`".to_owned();
            return Found::Nothing("flow::plan::reference", format!("`{reference}` is not a `stage.port`"), help);
        };
        if hops == 0 {
            let help = "break the circle of component inputs and outputs".to_owned();
            return Found::Nothing("flow::plan::cycle", format!("`{reference}` leads back to itself"), help);
        }
        if stage == "inputs" {
            return self.component_input(scope, port, hops);
        }
        let Some(own) = self.expansion.scopes.get(scope) else { return Found::Broken };
        match own.lookup(stage) {
            Lookup::One(target) => self.output(target, (stage, port), hops),
            Lookup::Many(targets) => {
                let mut all = (Vec::new(), None);
                for target in targets {
                    match self.output(target, (stage, port), hops) {
                        Found::Outputs(found, declared) => {
                            all.0.extend(found);
                            all.1 = declared;
                        }
                        other => return other,
                    }
                }
                Found::Outputs(all.0, all.1)
            }
            Lookup::Broken => Found::Broken,
            Lookup::Whole(_) => {
                let message = format!("stage `{stage}` has several instances");
                Found::Nothing("flow::plan::reference", message, own.whole_help(stage))
            }
            Lookup::Nothing(message, help) => Found::Nothing("flow::plan::unknown_stage", message, help),
        }
    }

    fn output(&self, target: Target, name: (&str, &str), hops: usize) -> Found {
        match target {
            Target::Stage(member) => self.stage_output(member, name),
            Target::Component(inner) => self.component_output(inner, name, hops),
            Target::Broken => Found::Broken,
        }
    }

    fn stage_output(&self, member: usize, name: (&str, &str)) -> Found {
        let (stage, port) = name;
        let Some(Some(configured)) = self.configured.get(member) else { return Found::Broken };
        let outputs = &configured.ports.outputs;
        if outputs.iter().any(|output| output.name == port) {
            return Found::Outputs(vec![(member, port.to_owned())], None);
        }
        let help = suggest::help(port, "outputs", outputs.iter().map(|output| output.name.as_str()));
        Found::Nothing("flow::plan::unknown_port", format!("stage `{stage}` has no output `{port}`"), help)
    }

    fn component_output(&self, inner: usize, name: (&str, &str), hops: usize) -> Found {
        let (stage, port) = name;
        let Some(own) = self.expansion.scopes.get(inner) else { return Found::Broken };
        let Some(document) = own.loaded.document.as_ref() else { return Found::Broken };
        let Some(output) = document.outputs.get(port) else {
            if own.loaded.gaps.contains("outputs") {
                return Found::Broken;
            }
            let help = suggest::help(port, "outputs", document.outputs.keys().map(String::as_str));
            return Found::Nothing("flow::plan::unknown_port", format!("component `{stage}` has no output `{port}`"), help);
        };
        match self.resolve(inner, &output.from, hops - 1) {
            // Told where the component declares it.
            Found::Nothing(code, ..) if code != "flow::plan::cycle" => Found::Broken,
            Found::Outputs(found, _) => Found::Outputs(found, Some(output.kind)),
            found => found,
        }
    }

    fn component_input(&self, scope: usize, port: &str, hops: usize) -> Found {
        let Some(own) = self.expansion.scopes.get(scope) else { return Found::Broken };
        let Some(document) = own.loaded.document.as_ref() else { return Found::Broken };
        let Some(input) = document.inputs.get(port) else {
            if own.loaded.gaps.contains("inputs") {
                return Found::Broken;
            }
            let help = suggest::help(port, "inputs", document.inputs.keys().map(String::as_str));
            return Found::Nothing("flow::plan::unknown_port", format!("this file declares no input `{port}`"), help);
        };
        let Some((user, index)) = own.user else { return Found::Broken };
        let using = self.expansion.stage(user, index).and_then(|stage| stage.document.as_deref());
        let Some(binding) = using.and_then(|document| document.inputs.get(port)) else {
            // An input that must be bound is told where it is not.
            return if input.optional { Found::Unbound } else { Found::Broken };
        };
        let mut outputs = Vec::new();
        for reference in &binding.from {
            match self.resolve(user, reference, hops - 1) {
                Found::Outputs(found, _) => outputs.extend(found),
                // Told where the user binds it.
                Found::Nothing(code, ..) if code != "flow::plan::cycle" => return Found::Broken,
                other => return other,
            }
        }
        Found::Outputs(outputs, Some(input.kind))
    }

    fn needs(&mut self, at: At, document: &StageDocument) -> BTreeSet<usize> {
        let mut members = BTreeSet::new();
        self.add_needs(at, document, &mut members);
        // A component's stages also wait for what its user needs.
        let mut user = self.expansion.scopes.get(at.0).and_then(|scope| scope.user);
        while let Some((scope, index)) = user {
            if let Some(document) = self.expansion.stage(scope, index).and_then(|stage| stage.document.as_deref()) {
                self.add_needs((scope, index), document, &mut members);
            }
            user = self.expansion.scopes.get(scope).and_then(|scope| scope.user);
        }
        members
    }

    fn add_needs(&mut self, at: At, document: &StageDocument, members: &mut BTreeSet<usize>) {
        let Some(scope) = self.expansion.scopes.get(at.0) else { return };
        for name in &document.needs.0 {
            match scope.lookup(name) {
                Lookup::One(target) => members.extend(self.expansion.members_of(target)),
                Lookup::Many(targets) | Lookup::Whole(targets) => {
                    members.extend(targets.into_iter().flat_map(|target| self.expansion.members_of(target)));
                }
                Lookup::Broken => {}
                Lookup::Nothing(message, help) => {
                    self.add(at, &["needs"], ("flow::plan::unknown_stage", format!("{message} in `needs:`"), help));
                }
            }
        }
    }

    /// Checks the ports of a component against its user and its own stages.
    fn component(&mut self, scope: usize) {
        let Some(own) = self.expansion.scopes.get(scope) else { return };
        let Some(document) = own.loaded.document.as_ref() else { return };
        for (name, output) in &document.outputs {
            let found = self.resolve(scope, &output.from, HOPS);
            let told = match found {
                Found::Nothing(code, message, help) => Some((code, message, help)),
                Found::Outputs(outputs, _) => outputs.iter().find_map(|(member, port)| {
                    let kind = self.kind_of(*member, port)?;
                    let message = format!("`{}` carries {} where {} is declared", output.from, kind.word(), output.kind.word());
                    let help = format!("write `kind: {}`", kind.word());
                    (kind != output.kind).then_some(("flow::plan::kind_mismatch", message, help))
                }),
                Found::Unbound | Found::Broken => None,
            };
            if let Some(texts) = told {
                self.add_in_file(scope, &["outputs", name, "from"], texts);
            }
        }
        match own.user {
            Some(at) => self.component_use(scope, at),
            None => {
                for (name, _) in document.inputs.iter().filter(|(_, input)| !input.optional) {
                    let message = format!("input `{name}` is bound by nobody: this file is a component");
                    let help = "use it in a workflow with `uses: ./PATH` and `in:`, or remove `inputs:`".to_owned();
                    self.add_in_file(scope, &["inputs", name], ("flow::plan::component", message, help));
                }
            }
        }
    }

    fn component_use(&mut self, scope: usize, at: At) {
        let inputs =
            self.expansion.scopes.get(scope).and_then(|scope| scope.loaded.document.as_ref()).map(|document| &document.inputs);
        let stage = self.expansion.stage(at.0, at.1);
        let using = stage.and_then(|stage| Some((stage, stage.document.as_deref()?)));
        let (Some(inputs), Some(using)) = (inputs, using) else { return };
        let arity = |optional| if optional { Arity::Optional } else { Arity::Many };
        let ports: Vec<Port> = inputs
            .iter()
            .map(|(name, input)| Port { name: name.clone(), kind: input.kind, arity: arity(input.optional) })
            .collect();
        self.inputs(at, using, Some(&ports));
    }

    fn add(&mut self, at: At, path: &[&str], texts: (&'static str, String, String)) {
        let path: Vec<_> = path.iter().map(|step| PathStep::Key((*step).to_owned())).collect();
        self.problems.add(self.expansion.problem(at, &path, texts));
    }

    fn add_in_file(&mut self, scope: usize, path: &[&str], texts: (&'static str, String, String)) {
        let Some(own) = self.expansion.scopes.get(scope) else { return };
        let path: Vec<_> = path.iter().map(|step| PathStep::Key((*step).to_owned())).collect();
        let (code, message, help) = texts;
        let span = own.loaded.root().place(&path).pointer();
        let file = own.loaded.file.clone();
        self.problems.add(crate::workflow::Problem { code, message, file, span, label: "here".to_owned(), help });
    }
}
