//! `if:`, `gate:`, and `expect:`: boolean CEL expressions over parameters, metrics, and stages.
//!
//! Compiled once when a plan is made, where unknown names are found; asked later with a [`Scope`] of what was measured.

mod names;
mod scope;

use std::{collections::BTreeSet, sync::Arc};

use cel::{ExecutionError, Program};
use serde_json::Value;

pub use names::Name;
pub(crate) use scope::to_cel;
pub use scope::{Reading, Scope};

/// A boolean CEL expression of the file, kept with its text.
#[derive(Clone, Debug)]
pub struct Expression {
    /// As written; an expectation with its metric in front.
    pub text: String,
    program: Arc<Program>,
    names: Arc<[Name]>,
}

/// Where an expression stands, which decides what it may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// `if:` is asked before the stage: it knows `params` and `stages`.
    Condition,
    /// `gate:` is asked after the stage: it also knows `metrics` and `baseline`.
    Gate,
    /// `expect:` is asked after the stage, about one metric.
    Expectation,
    /// A rule of a policy is asked about a plan.
    Policy,
}

impl Place {
    /// The names that may start a path.
    pub fn roots(self) -> &'static [&'static str] {
        match self {
            Self::Condition => &["params", "stages"],
            Self::Gate => &["baseline", "metrics", "params", "stages"],
            Self::Expectation => &["baseline", "metrics", "params"],
            Self::Policy => &["params", "run", "stage", "stages", "trust", "workflow"],
        }
    }
}

/// A text that is no expression for its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// What is wrong: lower case, no period.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// An expression that has no answer for what was measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot evaluate `{text}`: {reason}")]
pub struct EvaluationError {
    /// The expression.
    pub text: String,
    /// Why not.
    pub reason: String,
    /// What the reader can do next.
    pub help: Option<String>,
}

/// Why there is no answer.
enum Unanswered {
    NotBoolean(EvaluationError),
    Failed(ExecutionError),
}

impl Expression {
    /// Compiles an expression and checks the names that start its paths.
    pub fn compile(text: &str, place: Place) -> Result<Self, ExpressionError> {
        let program = Program::compile(text).map_err(|errors| syntax_error(&errors))?;
        let names = names::of(program.expression());
        for name in &names {
            check_root(name, place)?;
        }
        Ok(Self { text: text.to_owned(), program: Arc::new(program), names: names.into() })
    }

    /// Compiles one entry of `expect:`: a metric and a condition such as `>= 100`.
    pub fn compile_expectation(metric: &str, condition: &str) -> Result<Self, ExpressionError> {
        Self::compile(&Self::expectation(metric, condition)?, Place::Expectation)
    }

    /// The text of one entry of `expect:` as an expression.
    pub(crate) fn expectation(metric: &str, condition: &str) -> Result<String, ExpressionError> {
        const OPERATORS: [&str; 7] = ["==", "!=", "<=", ">=", "<", ">", "in "];
        let condition = condition.trim();
        if !OPERATORS.iter().any(|operator| condition.starts_with(operator)) {
            return Err(ExpressionError {
                message: format!("condition `{condition}` does not start with a comparison"),
                help: "write a comparison and a value, such as \">= 100\"".to_owned(),
            });
        }
        let subject =
            if is_identifier(metric) { format!("metrics.{metric}") } else { format!("metrics[{}]", Value::from(metric)) };
        Ok(format!("{subject} {condition}"))
    }

    /// The paths it names, such as `metrics.f1`, sorted.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// The stages it reads, by the names used in its file.
    pub fn stages(&self) -> BTreeSet<&str> {
        self.fields_of("stages")
    }

    /// The parameters it reads.
    pub fn params(&self) -> BTreeSet<&str> {
        self.fields_of("params")
    }

    fn fields_of(&self, root: &str) -> BTreeSet<&str> {
        let of_root = self.names.iter().filter(|name| name.root == root);
        of_root.filter_map(|name| name.fields.first().map(String::as_str)).collect()
    }

    /// Says whether the expression holds.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, EvaluationError> {
        self.execute(&scope.context()).map_err(|error| self.explain(error, scope))
    }

    /// Says whether the expression holds for values of the caller's own.
    pub(crate) fn answer(&self, context: &cel::Context<'_, '_>) -> Result<bool, EvaluationError> {
        self.execute(context).map_err(|error| match error {
            Unanswered::NotBoolean(error) => error,
            Unanswered::Failed(error) => self.no_answer(error.to_string(), None),
        })
    }

    fn execute(&self, context: &cel::Context<'_, '_>) -> Result<bool, Unanswered> {
        match self.program.execute(context) {
            Ok(cel::Value::Bool(answer)) => Ok(answer),
            Ok(other) => Err(Unanswered::NotBoolean(self.no_answer(
                format!("the result is a {} and not true or false", other.type_of()),
                Some("compare with ==, <, <=, > or >=".to_owned()),
            ))),
            Err(error) => Err(Unanswered::Failed(error)),
        }
    }

    /// The value of every path it names, for the person who reads a verdict.
    pub fn readings(&self, scope: &Scope<'_>) -> Vec<(String, Value)> {
        self.names.iter().filter_map(|name| scope.lookup(name).map(|value| (name.to_string(), value))).collect()
    }

    fn no_answer(&self, reason: String, help: Option<String>) -> EvaluationError {
        EvaluationError { text: self.text.clone(), reason, help }
    }

    /// What is said when a metric that it names was not measured. An expectation about nothing must not hold by chance.
    pub(crate) fn unmeasured(&self, scope: &Scope<'_>) -> Option<EvaluationError> {
        let mut metrics = self.names.iter().filter(|name| name.root == "metrics");
        metrics.find(|name| scope.lookup(name).is_none()).map(|name| self.no_value(&name.to_string(), scope))
    }

    fn explain(&self, error: Unanswered, scope: &Scope<'_>) -> EvaluationError {
        let error = match error {
            Unanswered::NotBoolean(error) => return error,
            Unanswered::Failed(error) => error,
        };
        let ExecutionError::NoSuchKey(key) = &error else {
            return self.no_answer(error.to_string(), None);
        };
        let missing = self.names.iter().find(|name| scope.lookup(name).is_none());
        self.no_value(&missing.map_or_else(|| key.to_string(), ToString::to_string), scope)
    }

    fn no_value(&self, path: &str, scope: &Scope<'_>) -> EvaluationError {
        let known: Vec<_> = scope.metrics.keys().map(String::as_str).collect();
        let help = match known.as_slice() {
            [] => "the stage measured nothing".to_owned(),
            names => format!("the stage measured {}", names.join(", ")),
        };
        self.no_answer(format!("{path} has no value"), Some(help))
    }
}

fn check_root(name: &Name, place: Place) -> Result<(), ExpressionError> {
    let roots = place.roots();
    if roots.contains(&name.root.as_str()) {
        return Ok(());
    }
    let help = match crate::workflow::suggest::nearest(&name.root, roots.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? known here: {}", roots.join(", ")),
        None => format!("known here: {}", roots.join(", ")),
    };
    Err(ExpressionError { message: format!("unknown name `{}` in an expression", name.root), help })
}

fn syntax_error(errors: &cel::ParseErrors) -> ExpressionError {
    let reason = errors.errors.first().map_or_else(|| errors.to_string(), |error| error.msg.clone());
    let reason = reason.lines().next().unwrap_or_default().trim_end_matches('.').to_owned();
    ExpressionError {
        message: format!("cannot parse the expression: {reason}"),
        help: "expressions are CEL, such as `metrics.f1 >= params.min_f1 && metrics.rows > 0`".to_owned(),
    }
}

fn is_identifier(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests;
