//! `if:`, `gate:`, and `expect:` of every stage: compiled once, every name checked.

use std::collections::BTreeSet;

use super::expand::{Expansion, Scope};
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
    pub(super) expansion: &'a Expansion,
    pub(super) problems: &'a mut Problems,
}

type At = (usize, usize);

impl Reader<'_> {
    pub(super) fn all(&mut self) -> Vec<Expressions> {
        let expansion = self.expansion;
        let one = |at: At| {
            let scope = expansion.scopes.get(at.0)?;
            let document = expansion.stage(at.0, at.1)?.document.as_ref()?;
            Some(self.stage(at, scope, document))
        };
        expansion.members.iter().map(|member| (member.scope, member.index)).map(one).map(Option::unwrap_or_default).collect()
    }

    fn stage(&mut self, at: At, scope: &Scope, document: &StageDocument) -> Expressions {
        let mut read = Expressions::default();
        if let Some(text) = &document.condition {
            let compiled = Expression::compile(text, Place::Condition);
            read.condition = self.checked((at, scope), &[PathStep::Key("if".to_owned())], compiled, &mut read.reads);
        }
        for (index, text) in document.gate.0.iter().enumerate() {
            let compiled = Expression::compile(text, Place::Gate);
            let path = self.gate_path(at, index);
            read.gates.extend(self.checked((at, scope), &path, compiled, &mut read.reads));
        }
        for (metric, condition) in &document.expect {
            let path = [PathStep::Key("expect".to_owned()), PathStep::Key(metric.clone())];
            let compiled = Expression::compile_expectation(metric, condition);
            read.expectations.extend(self.checked((at, scope), &path, compiled, &mut read.reads));
        }
        read
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
        path: &[PathStep],
        compiled: Result<Expression, ExpressionError>,
        reads: &mut BTreeSet<usize>,
    ) -> Option<Expression> {
        let (at, scope) = site;
        let expression = match compiled {
            Ok(expression) => expression,
            Err(error) => {
                self.problems.add(self.expansion.problem(at, path, ("flow::plan::expression", error.message, error.help)));
                return None;
            }
        };
        for name in expression.params().into_iter().filter(|name| !scope.loaded.params.contains_key(*name)) {
            let help = suggest::help(name, "parameters", scope.loaded.params.keys().map(String::as_str));
            let texts = ("flow::plan::expression", format!("unknown parameter `{name}` in an expression"), help);
            self.problems.add(self.expansion.problem(at, path, texts));
        }
        for name in expression.stages() {
            // `component/stage` names a stage inside a component.
            let inside = format!("{}{name}", scope.prefix);
            if let Some(target) = scope.targets.get(name) {
                reads.extend(self.expansion.members_of(*target));
            } else if let Some(member) = self.expansion.members.iter().position(|member| member.name == inside) {
                reads.insert(member);
            } else {
                let help = suggest::help(name, "stages", scope.targets.keys().map(String::as_str));
                let texts = ("flow::plan::expression", format!("unknown stage `{name}` in an expression"), help);
                self.problems.add(self.expansion.problem(at, path, texts));
            }
        }
        Some(expression)
    }
}
