//! One compiled rule and what it finds in a plan.

use super::{Breach, RuleDocument, RuleReport, data::Facts};
use crate::{
    expression::Expression,
    plan::{Plan, PlannedStage},
    workflow::{Problem, SourceText, Span},
};

/// A rule that can be asked.
pub(super) struct Rule {
    pub(super) document: RuleDocument,
    pub(super) when: Option<Expression>,
    pub(super) require: Expression,
}

/// What a rule says about one thing.
enum Answer {
    /// It does not apply.
    Silent,
    /// It is met.
    Met,
    /// It is not, or has no answer for this reason.
    Broken(Option<String>),
}

impl Rule {
    /// Asks the rule about every stage it is about, or about the plan.
    pub(super) fn ask(&self, plan: &Plan, facts: &Facts<'_>) -> RuleReport {
        let mut report = RuleReport {
            id: self.document.id.clone(),
            message: self.document.message.clone(),
            severity: self.document.severity,
            applied: 0,
            breaches: Vec::new(),
        };
        if !self.is_about_stages() {
            let answer = self.answer(&facts.plan());
            self.note(answer, None, &mut report);
            return report;
        }
        for node in &plan.order {
            let answer = self.answer(&facts.stage(*node));
            self.note(answer, Some(&plan.graph[*node]), &mut report);
        }
        report
    }

    fn is_about_stages(&self) -> bool {
        let expressions = self.when.iter().chain([&self.require]);
        expressions.flat_map(Expression::names).any(|name| name.root == "stage")
    }

    fn answer(&self, context: &cel::Context<'_, '_>) -> Answer {
        if let Some(when) = &self.when {
            match when.answer(context) {
                Ok(true) => {}
                Ok(false) => return Answer::Silent,
                Err(error) => return Answer::Broken(Some(error.to_string())),
            }
        }
        match self.require.answer(context) {
            Ok(true) => Answer::Met,
            Ok(false) => Answer::Broken(None),
            Err(error) => Answer::Broken(Some(error.to_string())),
        }
    }

    fn note(&self, answer: Answer, stage: Option<&PlannedStage>, report: &mut RuleReport) {
        let reason = match answer {
            Answer::Silent => return,
            Answer::Met => None,
            Answer::Broken(reason) => Some(reason),
        };
        report.applied += 1;
        if let Some(reason) = reason {
            report.breaches.push(Breach { stage: stage.map(|stage| stage.name.clone()), problem: self.problem(stage, reason) });
        }
    }

    fn problem(&self, stage: Option<&PlannedStage>, reason: Option<String>) -> Problem {
        let (file, span) = match stage {
            Some(stage) => (stage.origin.file.clone(), stage.origin.span),
            None => (SourceText::new("policy", self.require.text.clone()), Span::new(0, self.require.text.len())),
        };
        let about = stage.map(|stage| format!(" by stage `{}`", stage.name)).unwrap_or_default();
        let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        let help = self.document.help.clone().unwrap_or_else(|| format!("the policy requires {}", self.require.text));
        Problem {
            code: "flow::policy::broken",
            message: format!("policy rule `{}` is not met{about}: {}{reason}", self.document.id, self.document.message),
            file,
            span,
            label: "here".to_owned(),
            help,
        }
    }
}
