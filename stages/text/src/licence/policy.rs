//! Whether data under a licence may be used as intended, and what is owed for it.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Asks, Class, Expression, Licence};

/// What the model that learns from the data is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// A product or service.
    Commercial,
    /// Research that earns nothing.
    Research,
}

/// What becomes of data that must be passed on under its own licence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShareAlike {
    /// It is refused.
    Deny,
    /// It is taken, and the result stands under its licence; two that exclude each other are refused.
    Propagate,
}

/// What is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What the data is used for.
    pub intent: Intent,
    /// Licences that are allowed, `*` standing for anything.
    pub allow: Vec<String>,
    /// Licences that are refused, whatever is allowed.
    pub deny: Vec<String>,
    /// What becomes of share-alike data.
    pub share_alike: ShareAlike,
    /// The licence the result shall have, if one was chosen.
    pub output: Option<String>,
}

/// What was decided about data under an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may be used.
    Granted(Grant),
    /// It may not, for a reason each.
    Refused(Vec<String>),
    /// It holds names that are not known.
    Unknown(Vec<String>),
}

/// The licences under which data is used, and what they ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The licences.
    pub licences: BTreeSet<Licence>,
}

impl Grant {
    /// Whether somebody must be named.
    pub fn attribution(&self) -> bool {
        self.licences.iter().any(Licence::attribution)
    }

    /// The licences that the result must stand under.
    pub fn share_alike(&self) -> BTreeSet<&str> {
        self.licences.iter().filter(|licence| licence.share_alike()).map(|licence| licence.id.as_str()).collect()
    }

    /// What it asks for, the less the better: share-alike first, then names.
    fn burden(&self) -> (usize, usize) {
        (self.share_alike().len(), self.licences.iter().filter(|licence| licence.attribution()).count())
    }
}

impl Policy {
    /// Decides about an expression: of alternatives the one that asks for least is taken, of a conjunction every part must pass.
    pub fn decide(&self, expression: &Expression) -> Decision {
        match expression {
            Expression::One(licence) => self.judge(licence),
            Expression::Unknown(name) => Decision::Unknown(vec![name.clone()]),
            Expression::All(parts) => self.all(parts),
            Expression::Any(parts) => self.any(parts),
        }
    }

    fn all(&self, parts: &[Expression]) -> Decision {
        let (mut grant, mut refused, mut unknown) = (Grant::default(), Vec::new(), Vec::new());
        for part in parts {
            match self.decide(part) {
                Decision::Granted(found) => grant.licences.extend(found.licences),
                Decision::Refused(reasons) => refused.extend(reasons),
                Decision::Unknown(names) => unknown.extend(names),
            }
        }
        match (refused.is_empty(), unknown.is_empty()) {
            (false, _) => Decision::Refused(refused),
            (true, false) => Decision::Unknown(unknown),
            (true, true) => Decision::Granted(grant),
        }
    }

    fn any(&self, parts: &[Expression]) -> Decision {
        let (mut best, mut refused, mut unknown): (Option<Grant>, Vec<String>, Vec<String>) = (None, Vec::new(), Vec::new());
        for part in parts {
            match self.decide(part) {
                Decision::Granted(found) if best.as_ref().is_none_or(|best| found.burden() < best.burden()) => best = Some(found),
                Decision::Granted(_) => {}
                Decision::Refused(reasons) => refused.extend(reasons),
                Decision::Unknown(names) => unknown.extend(names),
            }
        }
        match best {
            Some(grant) => Decision::Granted(grant),
            None if unknown.is_empty() => Decision::Refused(refused),
            None => Decision::Unknown(unknown),
        }
    }

    fn judge(&self, licence: &Licence) -> Decision {
        let id = &licence.id;
        let refused = |reason: &str| Decision::Refused(vec![format!("{id} {reason}")]);
        let matches = |patterns: &[String]| patterns.iter().any(|pattern| is_like(id, pattern));
        match (licence.class, self.intent) {
            (Class::NonCommercial, Intent::Commercial) if licence.asks == Asks::Terms => {
                refused("forbids teaching a rival model with what the service wrote")
            }
            (Class::NonCommercial, Intent::Commercial) => refused("forbids commercial use"),
            (Class::AcademicOnly, Intent::Commercial) => refused("is for academic use only"),
            (Class::Unspecified, _) => Decision::Unknown(vec![id.clone()]),
            _ if licence.asks == Asks::NoDerivatives => refused("forbids works made from it"),
            _ if matches(&self.deny) => refused("is denied"),
            _ if !matches(&self.allow) => refused("is not allowed"),
            _ if licence.share_alike() && self.share_alike == ShareAlike::Deny => {
                refused("asks for its own licence on the result")
            }
            _ if licence.share_alike() && self.output.as_ref().is_some_and(|output| !carries(output, id)) => {
                refused(&format!("cannot be passed on under {}", self.output.as_deref().unwrap_or_default()))
            }
            _ => Decision::Granted(Grant { licences: BTreeSet::from([licence.clone()]) }),
        }
    }

    /// Names a licence that all grants together can stand under, or two that exclude each other.
    pub fn result<'a>(&self, grants: impl IntoIterator<Item = &'a Grant>) -> Result<Option<String>, (String, String)> {
        let mut kept: Option<String> = None;
        let asked: BTreeSet<&str> = grants.into_iter().flat_map(Grant::share_alike).collect();
        for id in asked {
            kept = match kept {
                None => Some(id.to_owned()),
                Some(before) if carries(&before, id) => Some(before),
                Some(before) if carries(id, &before) => Some(id.to_owned()),
                Some(before) => return Err((before, id.to_owned())),
            };
        }
        Ok(kept.or_else(|| self.output.clone()))
    }
}

/// Whether a work made from data under a share-alike licence may stand under another: itself, or a later version of the same.
fn carries(output: &str, id: &str) -> bool {
    let family =
        |id: &str| id.rsplit_once('-').map(|(family, version)| (family.to_owned(), version.parse::<f64>().unwrap_or(0.0)));
    // GPL permits a later version only where `or-later` says so.
    let is_gpl = id.contains("GPL");
    output == id
        || match (family(output), family(id)) {
            (Some((to, new)), Some((from, old))) if !is_gpl => to == from && new >= old,
            _ => false,
        }
        || (id == "CC-BY-SA-4.0" && output.starts_with("GPL-3.0"))
}

/// Whether an identifier is like a pattern in which `*` stands for anything.
fn is_like(id: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|start| id.strip_prefix(start)) else { return false };
    let mut last = None;
    for part in parts {
        last = Some(part);
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    match last {
        None => rest.is_empty(),
        Some(end) => end.is_empty() || id.ends_with(end),
    }
}
