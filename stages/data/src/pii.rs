//! `guard/pii`: finds personal data and replaces it by a policy, see [`flow_text::pii`].

mod work;

use std::collections::{BTreeMap, BTreeSet};

use flow_engine::{ArtifactKind, Fraction, Ports, Resources, Secret, Stage, StageContext, StageError};
use flow_rows::{RowsReader, RowsWriter};
use flow_text::pii::{Action, ActionKind, Context, Entity, Locale, Options, Policy, PseudonymKey, Scanner};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tally::as_f64;
use work::{Guard, Work};

/// Replace personal data in messages and in text fields of `meta`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PiiConfig {
    /// Places whose numbers are looked for, such as national insurance numbers.
    pub locales: BTreeSet<Locale>,
    /// Kinds of personal data to look for; those of the places and of the whole world, but for web addresses and dates of birth,
    /// unless named. Names of people, places, and organisations, dates, and ages are looked for only when they are named here.
    pub entities: BTreeSet<Entity>,
    /// Candidates below this score are left.
    pub threshold: Fraction,
    /// The reach and weight of words such as `phone` near a candidate.
    pub context: Context,
    /// Also look behind hidden characters, full-width digits, look-alike letters, and `name [at] host [dot] com`.
    pub folded_view: bool,
    /// Names, places, and the like are left when their reading leads by less than this.
    pub min_margin: Fraction,
    /// What becomes of values that are reserved for documentation, such as `example.com`.
    pub test_values: TestValues,
    /// Exact values that are nobody's, such as the address of your own help desk.
    pub allow: BTreeSet<String>,
    /// What becomes of kinds that `actions` does not name.
    pub default_action: ActionKind,
    /// What becomes of values, by kind: `{do: redact}`, `{do: mask, keep_last: 2}`, ...
    pub actions: BTreeMap<Entity, Action>,
    /// The key of pseudonyms, as `${secrets.NAME}`: at least 16 bytes. It is read from the environment and never stored.
    pub key: Option<Secret>,
    /// Fields of `meta` that are left as they are.
    pub skip_meta: BTreeSet<String>,
    /// Rows with more values than this are dropped.
    pub max_entities_per_record: usize,
    /// Whether values that are found again afterwards fail the stage.
    pub residual_check: ResidualCheck,
    /// Fail when more than this share of rows is dropped.
    pub max_drop_fraction: Fraction,
}

/// What becomes of values that are reserved for documentation and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestValues {
    /// They stay and are counted.
    Flag,
    /// They are replaced like any other.
    TreatAsPii,
    /// They stay and are not counted.
    Ignore,
}

/// What happens when personal data is found after replacing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResidualCheck {
    /// The stage fails when a value with a checksum is left.
    Fail,
    /// The report says so.
    Warn,
}

impl Default for PiiConfig {
    fn default() -> Self {
        let half = || Fraction::try_from(0.5).expect("a half is a fraction");
        Self {
            locales: Locale::DEFAULT.into(),
            entities: BTreeSet::new(),
            threshold: half(),
            context: Context::default(),
            folded_view: true,
            min_margin: Fraction::try_from(0.4).expect("two fifths are a fraction"),
            test_values: TestValues::Flag,
            allow: BTreeSet::new(),
            default_action: ActionKind::Redact,
            actions: BTreeMap::new(),
            key: None,
            skip_meta: BTreeSet::new(),
            max_entities_per_record: 50,
            residual_check: ResidualCheck::Fail,
            max_drop_fraction: half(),
        }
    }
}

impl PiiConfig {
    fn options(&self) -> Options {
        Options {
            entities: self.looked_for(),
            threshold: self.threshold.get(),
            context: self.context,
            folded_view: self.folded_view,
            allow: self.allow.clone(),
            min_margin: self.min_margin.get(),
        }
    }

    /// The kinds that are looked for.
    fn looked_for(&self) -> BTreeSet<Entity> {
        if self.entities.is_empty() { Entity::of_locales(&self.locales) } else { self.entities.clone() }
    }

    fn policy(&self, cx: &StageContext<'_>) -> Result<Policy, StageError> {
        let kinds = self.actions.values().map(|action| action.kind).chain([self.default_action]);
        let needs_key = kinds.into_iter().any(|kind| kind == ActionKind::Pseudonymize);
        let key = match (&self.key, needs_key) {
            (_, false) => None,
            (None, true) => {
                let help = "write `key: ${secrets.FLOW_PII_KEY}` and set that environment variable to at least 16 random bytes";
                return Err(StageError::input("cannot pseudonymize without a key: anybody could recompute the names").help(help));
            }
            (Some(secret), true) => Some(derive_key(secret, cx)?),
        };
        Ok(Policy { default: self.default_action.into(), actions: self.actions.clone(), key })
    }
}

fn derive_key(secret: &Secret, cx: &StageContext<'_>) -> Result<PseudonymKey, StageError> {
    PseudonymKey::derive(&cx.secret(secret)?).ok_or_else(|| {
        let message = format!("secret {} is shorter than {} bytes", secret.secret, PseudonymKey::LEAST_BYTES);
        StageError::input(message).help("set it to a longer random value")
    })
}

/// `guard/pii`.
pub struct Pii;

impl Stage for Pii {
    type Config = PiiConfig;
    const KIND: &'static str = "guard/pii";
    const REVISION: u32 = 2;

    fn ports(_: &PiiConfig) -> Ports {
        Ports::new().reads("rows", ArtifactKind::Rows).writes("rows", ArtifactKind::Rows).writes("report", ArtifactKind::Report)
    }

    fn resources(_: &PiiConfig) -> Resources {
        Resources::all_cpus()
    }

    fn run(config: &PiiConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let guard = Guard { scanner: Scanner::new(&config.options()), policy: config.policy(cx)?, config };
        let reader = RowsReader::open(cx.input("rows")?)?;
        let mut writer = RowsWriter::create(cx.output("rows")?)?;
        let mut work = Work::default();
        for batch in reader.batches() {
            cx.check_cancelled()?;
            let guarded: Vec<_> = batch?.into_par_iter().map(|record| guard.row(record)).collect();
            for row in guarded {
                if let Some(record) = work.book(row, config) {
                    writer.push(&record)?;
                }
            }
            cx.progress(work.tally.rows_in, Some(reader.count()), "rows");
        }
        writer.finish()?;
        work.tally.settle(config.max_drop_fraction)?;
        work.tally.measure(cx);
        cx.measure("entities", as_f64(work.found()));
        cx.measure("rows_with_pii", as_f64(work.rows_touched));
        cx.measure("residual", as_f64(work.residual()));
        work.check_residual(config)?;
        work.report(&guard).write(cx.output("report")?)
    }
}

#[cfg(test)]
mod tests;
