//! Rows of a `tokens` artifact as text again, with what a trainer learns from told apart from what it only reads.

use std::path::Path;

use flow_engine::StageError;
use flow_rows::{TokenRow, TokensReader};
use flow_text::{
    encode::IGNORED,
    tokenizer::{ChatTokenizer, TokenizerError},
};

/// The rows that are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice<'a> {
    /// So many from the start.
    First(usize),
    /// Those of these names.
    Named(&'a [String]),
}

/// One row as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labelled {
    /// The record it came from.
    pub row_id: String,
    /// Its text from first to last token, special tokens included.
    pub spans: Vec<Span>,
}

/// Tokens in a row that are all learned from, or all only read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Their text.
    pub text: String,
    /// How many there are.
    pub tokens: usize,
    /// Whether a model is trained to say them.
    pub trained: bool,
}

/// What was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Rows of the artifact.
    pub rows: usize,
    /// The chosen ones.
    pub chosen: Vec<Labelled>,
}

/// Reads a `tokens` artifact with the tokenizer of the model at `base`, which must be the one that made it.
pub fn look(tokens: &Path, base: &Path, choice: Choice<'_>) -> Result<Look, StageError> {
    let (tokens, tokenizer) = (TokensReader::open(tokens)?, crate::open(base)?.tokenizer);
    if tokens.meta().tokenizer != tokenizer.digest() {
        let message = format!("the tokens were made by another tokenizer than that of {}", base.display());
        return Err(StageError::input(message).help("name the model that they were made for with --model"));
    }
    let rows = choose(&tokens, choice)?;
    let chosen = rows.iter().map(|row| labelled(row, &tokenizer)).collect::<Result<_, _>>();
    let fault = |error: TokenizerError| StageError::internal("cannot decode the tokens").because(&error);
    Ok(Look { rows: tokens.len(), chosen: chosen.map_err(fault)? })
}

fn choose<'a>(tokens: &'a TokensReader, choice: Choice<'_>) -> Result<Vec<TokenRow<'a>>, StageError> {
    let names = match choice {
        Choice::First(count) => return Ok(tokens.iter().take(count).collect::<Result<_, _>>()?),
        Choice::Named(names) => names,
    };
    let mut found = Vec::new();
    for row in tokens.iter() {
        let row = row?;
        if names.iter().any(|name| name == row.row_id) {
            found.push(row);
        }
    }
    match names.iter().find(|name| !found.iter().any(|row| row.row_id == name.as_str())) {
        Some(name) => Err(StageError::input(format!("no row is named {name}")).help("`--json` prints the names of rows")),
        None => Ok(found),
    }
}

fn labelled(row: &TokenRow<'_>, tokenizer: &ChatTokenizer) -> Result<Labelled, TokenizerError> {
    let mut spans: Vec<Span> = Vec::new();
    let mut before = String::new();
    let mut end = 0;
    for (tokens, trained) in runs(row) {
        end += tokens;
        // Of everything so far, because a token's text may depend on what precedes it.
        let all = tokenizer.decode_all(row.input_ids.get(..end).unwrap_or_default())?;
        let text = match all.strip_prefix(&before) {
            Some(text) => text.to_owned(),
            None => tokenizer.decode_all(row.input_ids.get(end - tokens..end).unwrap_or_default())?,
        };
        spans.push(Span { text, tokens, trained });
        before = all;
    }
    Ok(Labelled { row_id: row.row_id.to_owned(), spans })
}

/// Lengths of the runs of tokens that are all learned from, or all not.
fn runs(row: &TokenRow<'_>) -> Vec<(usize, bool)> {
    let mut runs: Vec<(usize, bool)> = Vec::new();
    for (position, label) in row.labels.iter().enumerate() {
        // Nothing comes before the first token, so nothing learns to say it.
        let trained = position > 0 && *label != IGNORED;
        match runs.last_mut() {
            Some((tokens, last)) if *last == trained => *tokens += 1,
            _ => runs.push((1, trained)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_falls_into_runs_and_its_first_token_is_never_trained() {
        let row = TokenRow { row_id: "a", input_ids: &[1, 2, 3, 4, 5], labels: &[1, IGNORED, 3, 4, IGNORED] };
        assert_eq!(runs(&row), [(2, false), (2, true), (1, false)]);
    }
}
