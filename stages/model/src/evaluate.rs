//! `eval/suite`: the base and the tuned model answer the same held-out questions, and the difference gets an interval.
//!
//! Every arm sees the same items, decodes greedily with the same template, and keeps what it said: `items` is the evidence
//! that later stages and people check. Scores and statistics are `flow-text`'s, decoding is the generator's.

mod arm;
mod config;
mod item;
mod likelihood;
mod metric;
mod outcome;
mod report;

use std::path::PathBuf;

use flow_engine::{
    ArtifactKind::{Adapter as AdapterFolder, Items, Report as ReportFolder, Rows},
    Determinism, Ports, Resources, SourceRef, Stage, StageContext, StageError,
};
use flow_rows::RowsReader;
use flow_text::generate::{GenerateError, LoadModel, ModelFiles};

use self::{
    arm::{Answers, Arm, Asker},
    item::Item,
    likelihood::Likelihood,
    metric::Comparison,
    outcome::Outcome,
};
pub use self::{
    config::{BootstrapConfig, SuiteConfig},
    metric::Metric,
};
use crate::{Loader, base};

/// Compares the tuned model with its base.
pub struct Suite;

impl Stage for Suite {
    type Config = SuiteConfig;
    const KIND: &'static str = "eval/suite";
    const REVISION: u32 = 1;
    const DETERMINISM: Determinism = Determinism::Seeded;

    fn ports(config: &SuiteConfig) -> Ports {
        let ports = Ports::new().reads("model", AdapterFolder).reads("data", Rows);
        let ports = match config.shots {
            0 => ports.reads_optional("shots_from", Rows),
            _ => ports.reads("shots_from", Rows),
        };
        ports.writes("report", ReportFolder).writes("items", Items)
    }

    fn sources(config: &SuiteConfig) -> Vec<SourceRef> {
        vec![SourceRef::Pinned(config.base.clone())]
    }

    fn resources(_: &SuiteConfig) -> Resources {
        Resources::all_cpus()
    }

    fn run(config: &SuiteConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let questions = Questions::read(config, cx)?;
        let arms = questions.arms();
        let models = Models { base: base::locate(cx, &config.base)?, adapter: cx.input("model")?.to_owned() };
        let mut answers = models.ask(&questions.items, &arms, &Asker::new(config, cx, questions.items.len() * arms.len()))?;

        let comparison = Comparison { fields: &config.fields, normalizer: config.normalize };
        for answers in &mut answers {
            answers.score(&config.metrics, &comparison, &questions.items)?;
        }
        if config.metrics.contains(&Metric::Nll) {
            Likelihood::open(&models.base, &models.adapter, config)?.score(&questions.items, &arms, &mut answers)?;
        }

        let outcome = Outcome::new(config, &questions, answers);
        outcome.measure(cx);
        outcome.write_items(cx.output("items")?)?;
        report::build(config, &outcome).write(cx.output("report")?)
    }
}

/// What is asked, and what one arm may look at.
struct Questions {
    items: Vec<Item>,
    examples: Vec<Item>,
    /// Rows in which the assistant does not have the last word.
    unusable: usize,
}

impl Questions {
    fn read(config: &SuiteConfig, cx: &StageContext<'_>) -> Result<Self, StageError> {
        let seed = cx.seed().0;
        let (all, unusable) = items_of(cx.input("data")?)?;
        let items = match config.limit {
            Some(limit) => item::draw(all, limit.get() as usize, seed),
            None => all,
        };
        if items.is_empty() {
            let help = "every row needs a question and, as its last message, the assistant's answer";
            return Err(StageError::input("input data has no row to ask").help(help));
        }
        let shots = config.shots as usize;
        let examples = match cx.input_optional("shots_from") {
            Some(path) if shots > 0 => item::draw_examples(items_of(path)?.0, &items, (shots, seed)),
            _ => Vec::new(),
        };
        if examples.len() < shots {
            let message = format!("shots asks for {shots} examples, but shots_from has {} that are not asked", examples.len());
            return Err(StageError::input(message).help("lower `shots`, or bind more rows to `shots_from`"));
        }
        Ok(Self { items, examples, unusable })
    }

    /// The arms in the order of the report.
    fn arms(&self) -> Vec<Arm> {
        let plain: Vec<_> = self.items.iter().map(|item| item.prompt.clone()).collect();
        let solved = || self.items.iter().map(|item| item.with_examples(&self.examples)).collect();
        let shots = (!self.examples.is_empty()).then(|| Arm::base_shots(solved()));
        [Arm::base(plain.clone())].into_iter().chain(shots).chain([Arm::tuned(plain)]).collect()
    }
}

fn items_of(path: &std::path::Path) -> Result<(Vec<Item>, usize), StageError> {
    let (mut items, mut unusable) = (Vec::new(), 0);
    for batch in RowsReader::open(path)?.batches() {
        for record in &batch? {
            match Item::of(record) {
                Some(item) => items.push(item),
                None => unusable += 1,
            }
        }
    }
    Ok((items, unusable))
}

/// Where the two models lie.
struct Models {
    base: PathBuf,
    adapter: PathBuf,
}

impl Models {
    /// Lets each model answer its arms, one model in memory at a time.
    fn ask(&self, items: &[Item], arms: &[Arm], asker: &Asker<'_>) -> Result<Vec<Answers>, StageError> {
        let mut answers = Vec::new();
        for adapter in [None, Some(self.adapter.as_path())] {
            let mut model = None;
            for arm in arms.iter().filter(|arm| arm.is_tuned() == adapter.is_some()) {
                let files = ModelFiles { name: arm.name(), base: &self.base, adapter };
                let model = match &mut model {
                    Some(model) => model,
                    empty => empty.insert(Loader::load(&files).map_err(generate_error)?),
                };
                answers.push(asker.ask(model.as_mut(), arm, items)?);
            }
        }
        Ok(answers)
    }
}

fn generate_error(error: GenerateError) -> StageError {
    let made = StageError::input(error.message);
    match error.help {
        Some(help) => made.help(help),
        None => made,
    }
}
