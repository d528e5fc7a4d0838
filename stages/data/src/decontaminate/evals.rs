//! Items of evaluation sets, from files or from rows.

use flow_engine::{StageContext, StageError};
use flow_text::{
    decontaminate::{Item, ItemId},
    shingle::{Part, text_of},
};
use serde_json::{Map, Value};

use super::{DecontaminateConfig, EvalFile};
use crate::{
    ingest::{Row, read_rows},
    stream::RowsIn,
};

/// Every set by name, and the items of all.
pub(super) struct EvalSets {
    pub(super) names: Vec<String>,
    pub(super) items: Vec<Item>,
}

impl EvalSets {
    pub(super) fn read(config: &DecontaminateConfig, cx: &StageContext<'_>) -> Result<Self, StageError> {
        let mut sets = Self { names: Vec::new(), items: Vec::new() };
        for eval in &config.evals {
            sets.add_files(eval, cx)?;
        }
        if config.evals.is_empty() {
            sets.add_rows(cx)?;
        }
        if sets.items.is_empty() {
            return Err(StageError::input("the evaluation sets hold no item").help("check `path` and `question` of `evals`"));
        }
        Ok(sets)
    }

    fn add_files(&mut self, eval: &EvalFile, cx: &StageContext<'_>) -> Result<(), StageError> {
        let set = self.names.len();
        self.names.push(eval.name.clone());
        let before = self.items.len();
        for file in cx.source(&eval.path)? {
            for row in read_rows(&file.path, &file.name, eval.format)? {
                let Row { line, fields } = row;
                let fields = fields.map_err(|reason| unreadable(&file.name, line, &reason))?;
                let missing = || unreadable(&file.name, line, &format!("it has no text in the field {}", eval.question));
                let question = text(&fields, &eval.question).ok_or_else(missing)?;
                let answer = eval.answer.as_ref().and_then(|field| text(&fields, field));
                self.items.push(Item { id: ItemId { set, item: self.items.len() - before }, question, answer });
            }
        }
        if self.items.len() == before {
            return Err(StageError::input(format!("no file of evaluation set {} holds an item", eval.name))
                .help("paths are relative to the workflow file"));
        }
        Ok(())
    }

    fn add_rows(&mut self, cx: &StageContext<'_>) -> Result<(), StageError> {
        for batch in RowsIn::bound(cx, "evals")?.batches() {
            cx.check_cancelled()?;
            for record in batch? {
                let set = self.names.iter().position(|name| *name == record.source).unwrap_or_else(|| {
                    self.names.push(record.source.clone());
                    self.names.len() - 1
                });
                let item = self.items.iter().filter(|item| item.id.set == set).count();
                let answer = Some(text_of(&record, Part::Answer));
                self.items.push(Item { id: ItemId { set, item }, question: text_of(&record, Part::Prompt), answer });
            }
        }
        Ok(())
    }
}

fn unreadable(file: &str, line: u64, reason: &str) -> StageError {
    StageError::input(format!("cannot read line {line} of {file}: {reason}"))
        .help("an evaluation set must be read whole: correct the line, or name other fields in `evals`")
}

fn text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    match fields.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
