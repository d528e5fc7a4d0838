//! `guard/licence`: lets pass only rows that may be used as intended, and writes down what is owed for them, see
//! [`flow_text::licence`].

mod papers;
mod work;

use std::collections::BTreeMap;

use flow_engine::{ArtifactKind, Fraction, Ports, Stage, StageContext, StageError};
use flow_text::licence::{Intent, Policy, ShareAlike};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ledger::Ledger,
    stream::{RowsIn, RowsOut},
};
use work::Work;

/// Licences that permit commercial use, as they are allowed where nothing else is said.
const USUAL: [&str; 15] = [
    "Apache-2.0",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "CC0-1.0",
    "PDDL-1.0",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "CDLA-Permissive-1.0",
    "CDLA-Permissive-2.0",
    "LicenseRef-public-domain",
];

/// Let pass rows whose licence permits what you intend, and write NOTICE, a data card, and Croissant metadata.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LicenceConfig {
    /// What is known of every source, by its name in `data/ingest`.
    pub sources: BTreeMap<String, SourceTerms>,
    /// A field of a row that states the row's own licence; it replaces the source's.
    pub field: String,
    /// What the model that learns from the rows is for.
    pub intent: Intent,
    /// Licences that are allowed, as SPDX identifiers in which `*` stands for anything.
    pub allow: Vec<String>,
    /// Licences that are refused, whatever is allowed.
    pub deny: Vec<String>,
    /// What becomes of rows whose licence is not known or not stated.
    pub unknown: Unfit,
    /// What becomes of rows whose licence forbids the use.
    pub refused: Unfit,
    /// What becomes of rows that must be passed on under their own licence.
    pub share_alike: ShareAlike,
    /// The licence that the result shall have; without one it follows from the rows.
    pub output_license: Option<String>,
    /// Models whose output may be learnt from, `*` standing for anything.
    pub model_generated: Vec<String>,
    /// What must be known of every source.
    pub require: Vec<Evidence>,
    /// The name of the data set on its card.
    pub title: String,
    /// Fail when more than this share of rows is dropped or quarantined.
    pub max_drop_fraction: Fraction,
}

impl Default for LicenceConfig {
    fn default() -> Self {
        Self {
            sources: BTreeMap::new(),
            field: "license".to_owned(),
            intent: Intent::Commercial,
            allow: USUAL.map(str::to_owned).to_vec(),
            deny: vec!["*-NC-*".to_owned(), "*-ND-*".to_owned()],
            unknown: Unfit::Quarantine,
            refused: Unfit::Fail,
            share_alike: ShareAlike::Propagate,
            output_license: None,
            model_generated: Vec::new(),
            require: vec![Evidence::License],
            title: "Training data".to_owned(),
            max_drop_fraction: Fraction::try_from(0.5).expect("a half is a fraction"),
        }
    }
}

/// What is known of a source.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SourceTerms {
    /// Its licence as an SPDX expression, or by a name that people write.
    pub license: Option<String>,
    /// Where it comes from.
    pub source_url: Option<String>,
    /// What shows that the licence is true: a file, a page, a contract.
    pub evidence: Option<String>,
    /// Who made it.
    pub creators: Vec<String>,
    /// The words in which its makers want to be named.
    pub attribution: Option<String>,
    /// Models that wrote it, or parts of it.
    pub model_generated_by: Vec<String>,
    /// When it was taken, as a date.
    pub retrieved: Option<String>,
    /// What it holds, for the card.
    pub description: Option<String>,
}

/// What becomes of rows that may not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unfit {
    /// They are counted as such and left out.
    Quarantine,
    /// They are dropped.
    Drop,
    /// The stage fails.
    Fail,
}

/// Something that must be known of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Its licence, here or in every row.
    License,
    /// Where it comes from.
    SourceUrl,
    /// What shows that the licence is true.
    Evidence,
    /// Who made it.
    Creators,
}

/// `guard/licence`.
pub struct LicenceGuard;

impl Stage for LicenceGuard {
    type Config = LicenceConfig;
    const KIND: &'static str = "guard/licence";
    const REVISION: u32 = 1;

    fn ports(_: &LicenceConfig) -> Ports {
        let ports = Ports::new().reads_many("rows", ArtifactKind::Rows).writes("rows", ArtifactKind::Rows);
        ports.writes("papers", ArtifactKind::Dir).writes("report", ArtifactKind::Report)
    }

    fn run(config: &LicenceConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        config.check()?;
        let rows = RowsIn::open(cx)?;
        let mut out = RowsOut::create(cx, "rows")?;
        let mut work = Work::new(config, Ledger::create(cx)?);
        for batch in rows.batches() {
            cx.check_cancelled()?;
            for record in batch? {
                if work.book(&record)? {
                    out.push(&record)?;
                }
            }
            cx.progress(work.tally.rows_in, Some(rows.count()), "rows");
        }
        let filled = out.finish()?;
        let settled = work.settle()?;
        settled.measure(cx);
        filled.measure(cx);
        papers::write(config, &settled, cx.output("papers")?)?;
        settled.report(config).write(cx.output("report")?)
    }
}

impl LicenceConfig {
    fn policy(&self) -> Policy {
        Policy {
            intent: self.intent,
            allow: self.allow.clone(),
            deny: self.deny.clone(),
            share_alike: self.share_alike,
            output: self.output_license.clone(),
        }
    }

    /// Checks that what must be known of the sources is there.
    fn check(&self) -> Result<(), StageError> {
        for (name, terms) in &self.sources {
            let has = |evidence: &Evidence| match evidence {
                // A row may state its own licence, so that a missing one is found row by row.
                Evidence::License => true,
                Evidence::SourceUrl => terms.source_url.is_some(),
                Evidence::Evidence => terms.evidence.is_some(),
                Evidence::Creators => !terms.creators.is_empty(),
            };
            if let Some(missing) = self.require.iter().find(|evidence| !has(evidence)) {
                let field = missing.name();
                return Err(StageError::input(format!("{field} of source {name} is not stated"))
                    .help(format!("add `{field}` to `sources.{name}`, or take it out of `require`")));
            }
        }
        Ok(())
    }
}

impl Evidence {
    fn name(self) -> &'static str {
        match self {
            Self::License => "license",
            Self::SourceUrl => "source_url",
            Self::Evidence => "evidence",
            Self::Creators => "creators",
        }
    }
}

#[cfg(test)]
mod tests;
