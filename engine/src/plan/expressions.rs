//! `if:`, `gate:`, and `expect:` of every stage: compiled once, every name checked.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use super::{
    expand::{Expansion, Scope},
    names::Lookup,
};
use crate::{
    expression::{Expression, ExpressionError, Place},
    registry::PathStep,
    workflow::{Problems, StageDocument, suggest},
};

/// The expressions of one member.
#[derive(Debug, Default)]
pub(super) struct Expressions {
    pub(super) condition: Option<Expression>,
    pub(super) gates: Vec<Expression>,
    pub(super) expectations: Vec<Expression>,
    /// Members whose results they read.
    pub(super) reads: BTreeSet<usize>,
}

/// Compiles the expressions of an expansion.
pub(super) struct Reader<'a> {
    expansion: &'a Expansion,
    problems: &'a mut Problems,
    /// What was compiled before: instances and generated stages ask the same.
    compiled: HashMap<(Place, String), Result<Expression, ExpressionError>>,
    /// Members by their names in the plan.
    members: OnceCell<BTreeMap<&'a str, usize>>,
}

type At = (usize, usize);

/// Where an expression stands in its stage.
#[derive(Clone, Copy)]
enum Spot<'s> {
    Condition,
    Gate(usize),
    /// Of a metric.
    Expectation(&'s str),
}

impl<'a> Reader<'a> {
    pub(super) fn new(expansion: &'a Expansion, problems: &'a mut Problems) -> Self {
        Self { expansion, problems, compiled: HashMap::new(), members: OnceCell::new() }
    }

    pub(super) fn all(&mut self) -> Vec<Expressions> {
        let expansion = self.expansion;
        let one = |at: At| {
            let scope = expansion.scopes.get(at.0).filter(|_| !self.problems.are_enough())?;
            let document = expansion.stage(at.0, at.1)?.document.as_deref()?;
            Some(self.stage(at, scope, document))
        };
        expansion.members.iter().map(|member| (member.scope, member.index)).map(one).map(Option::unwrap_or_default).collect()
    }

    fn stage(&mut self, at: At, scope: &Scope, document: &StageDocument) -> Expressions {
        let mut read = Expressions::default();
        if let Some(text) = &document.condition {
            let compiled = self.compile(text, Place::Condition);
            read.condition = self.checked((at, scope), Spot::Condition, compiled, &mut read.reads);
        }
        for (index, text) in document.gate.0.iter().enumerate() {
            let compiled = self.compile(text, Place::Gate);
            read.gates.extend(self.checked((at, scope), Spot::Gate(index), compiled, &mut read.reads));
        }
        for (metric, conditions) in &document.expect {
            for condition in &conditions.0 {
                let compiled =
                    Expression::expectation(metric, condition).and_then(|text| self.compile(&text, Place::Expectation));
                read.expectations.extend(self.checked((at, scope), Spot::Expectation(metric), compiled, &mut read.reads));
            }
        }
        read
    }

    fn compile(&mut self, text: &str, place: Place) -> Result<Expression, ExpressionError> {
        self.compiled.entry((place, text.to_owned())).or_insert_with(|| Expression::compile(text, place)).clone()
    }

    fn path(&self, at: At, spot: Spot<'_>) -> Vec<PathStep> {
        match spot {
            Spot::Condition => vec![PathStep::key("if")],
            Spot::Gate(index) => self.gate_path(at, index),
            Spot::Expectation(metric) => vec![PathStep::key("expect"), PathStep::key(metric)],
        }
    }

    /// The path of one gate, which is a scalar or an item of a list.
    fn gate_path(&self, at: At, index: usize) -> Vec<PathStep> {
        let node = self.expansion.scopes.get(at.0).and_then(|scope| scope.loaded.stage_node(at.1));
        let listed = node.and_then(|node| node.get("gate")).is_some_and(|gate| !gate.items().is_empty());
        let item = listed.then_some(PathStep::Index(index));
        std::iter::once(PathStep::Key("gate".to_owned())).chain(item).collect()
    }

    fn checked(
        &mut self,
        site: (At, &Scope),
        spot: Spot<'_>,
        compiled: Result<Expression, ExpressionError>,
        reads: &mut BTreeSet<usize>,
    ) -> Option<Expression> {
        let (at, scope) = site;
        let expression = match compiled {
            Ok(expression) => expression,
            Err(error) => {
                self.problems.add(self.expansion.problem(
                    at,
                    &self.path(at, spot),
                    ("flow::plan::expression", error.message, error.help),
                ));
                return None;
            }
        };
        for name in expression.params().into_iter().filter(|name| !scope.loaded.params.contains_key(*name)) {
            let help = suggest::help(name, "parameters", scope.loaded.params.keys().map(String::as_str));
            let texts = ("flow::plan::expression", format!("unknown parameter `{name}` in an expression"), help);
            self.problems.add(self.expansion.problem(at, &self.path(at, spot), texts));
        }
        for name in expression.stages() {
            match self.stage_of(scope, name) {
                Ok(members) => reads.extend(members),
                Err((message, help)) => {
                    self.problems.add(self.expansion.problem(
                        at,
                        &self.path(at, spot),
                        ("flow::plan::expression", message, help),
                    ));
                }
            }
        }
        Some(expression)
    }

    /// The members that a name in an expression stands for.
    fn stage_of(&self, scope: &Scope, name: &str) -> Result<std::ops::Range<usize>, (String, String)> {
        // `component/stage` names a stage inside a component.
        if name.contains('/') {
            let inside = format!("{}{name}", scope.prefix);
            let index =
                || self.expansion.members.iter().enumerate().map(|(place, member)| (member.name.as_str(), place)).collect();
            if let Some(member) = self.members.get_or_init(index).get(inside.as_str()) {
                return Ok(*member..member + 1);
            }
        }
        match scope.lookup(name) {
            Lookup::One(target) => Ok(self.expansion.members_of(target)),
            Lookup::Broken => Ok(0..0),
            Lookup::Many(_) => {
                let message = format!("`{name}` in an expression stands for several stages");
                Err((message, "name one instance, such as `stages[\"clean@fr\"]`".to_owned()))
            }
            Lookup::Whole(_) => {
                let message = format!("stage `{name}` in an expression has several instances");
                Err((message, "name one of them, such as `stages[\"clean@fr\"]`".to_owned()))
            }
            Lookup::Nothing(message, help) => Err((format!("{message} in an expression"), help)),
        }
    }
}
