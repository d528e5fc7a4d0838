//! `flow data`.

use clap::{Args, Subcommand};
use flow_engine::{
    ArtifactKind,
    history::find_output,
    run::StageState,
    store::{Materialise, Store},
};
use serde_json::{Value, json};

use super::find::Found;
use crate::{
    CliError, ExitStatus, Shell,
    host::{ShownRow, ShownTokens, TokensRequest},
    text::push,
    ui::{Tone, Ui},
};

/// What stands around text that is trained where there are no colours.
const MARKS: [&str; 2] = ["⟦", "⟧"];

/// Look into what a model learns from
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow data show tokenize.train --labels
  flow data show tokenize.train --labels --row 5f0c1a --json
  flow data show tokenize.train --rows 10 --run latest~1")]
pub(crate) struct DataArgs {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Debug, Subcommand)]
enum DataCommand {
    Show(ShowArgs),
}

/// Print rows of tokens as text again, with the special tokens of the template
#[derive(Debug, Args)]
struct ShowArgs {
    /// An output of a run that holds tokens
    #[arg(value_name = "STAGE.PORT")]
    output: String,
    /// Tell apart what a model is trained to say: in colour, or between ⟦ and ⟧
    #[arg(long)]
    labels: bool,
    /// Print so many rows from the start
    #[arg(long, value_name = "N", default_value_t = 3, conflicts_with = "row")]
    rows: usize,
    /// Print the row of this name; may be repeated
    #[arg(long, value_name = "ROW_ID")]
    row: Vec<String>,
    /// The run
    #[arg(long, value_name = "RUN", default_value = "latest")]
    run: String,
    /// The model whose tokenizer made them, when it is not the one that the stage names
    #[arg(long, value_name = "REF")]
    model: Option<String>,
}

pub(super) fn execute(args: &DataArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let DataCommand::Show(args) = &args.command;
    let found = Found::run(shell, &args.run)?;
    let store = Store::open(&found.project.site.store)?;
    let artifact = find_output(&found.state, &args.output)?;
    if artifact.kind != ArtifactKind::Tokens {
        let message = format!("{} holds no tokens", args.output);
        return Err(CliError::usage(message, "name an output of text/tokenize, such as tokenize.train"));
    }
    let folder = store.checkouts().staging()?;
    let path = store.cas().materialise(artifact, &folder.path().join("tokens"), Materialise::Linked)?;
    let request = TokensRequest { path, model: model(args, &found, &store)?, rows: args.rows, named: args.row.clone() };
    let shown = shell.models.tokens(&found.project.site, &request)?;
    if shell.ui.json() {
        crate::ui::document(&json!({ "output": args.output, "run": found.run, "model": request.model, "tokens": shown }));
    } else {
        crate::ui::print(&told(args, &shown, shell.ui));
    }
    Ok(ExitStatus::Ok)
}

/// The model that was named, or the one that the work behind the artifact names.
fn model(args: &ShowArgs, found: &Found, store: &Store) -> Result<String, CliError> {
    if let Some(model) = &args.model {
        return Ok(model.clone());
    }
    let owns = |stage: &&StageState| stage.outputs.keys().any(|port| format!("{}.{port}", stage.name) == args.output);
    let key = found.state.stages.iter().find(owns).and_then(|stage| stage.key);
    let preimage = key.map(|key| store.actions().preimage(&key)).transpose()?.flatten();
    let named = preimage.as_ref().and_then(|preimage| preimage.pointer("/params/model")).and_then(Value::as_str);
    named.map(str::to_owned).ok_or_else(|| {
        CliError::usage(format!("the work behind {} does not name a model", args.output), "name the model with --model REF")
    })
}

fn told(args: &ShowArgs, shown: &ShownTokens, ui: Ui) -> String {
    let mut out = String::new();
    for row in &shown.chosen {
        let counts = format!("{} tokens, {} of them trained", row.tokens, row.trained);
        push(&mut out, format_args!("{}  {}\n", ui.out.strong(&row.row_id), ui.out.quiet(&counts)));
        push(&mut out, format_args!("{}\n\n", text(args, row, ui)));
    }
    let told = shown.chosen.len();
    push(&mut out, format_args!("{}\n", ui.out.quiet(&format!("{told} of {} rows", shown.rows))));
    out
}

/// A row's text, without characters that would act on the terminal.
fn text(args: &ShowArgs, row: &ShownRow, ui: Ui) -> String {
    let [open, close] = MARKS;
    let span = |(text, trained): (String, bool)| match (args.labels, trained, ui.out.coloured()) {
        (true, true, false) => format!("{open}{text}{close}"),
        (true, true, true) => lines(&text, |line| ui.out.tone(Tone::Good, line)),
        (true, false, true) => lines(&text, |line| ui.out.quiet(line)),
        (true, false, false) | (false, _, _) => text,
    };
    row.spans.iter().map(|part| span((harmless(&part.text), part.trained))).collect()
}

/// Colours line by line: a colour that runs over the end of a line is lost in pagers.
fn lines(text: &str, paint: impl Fn(&str) -> String) -> String {
    text.split('\n').map(paint).collect::<Vec<_>>().join("\n")
}

fn harmless(text: &str) -> String {
    let shown = |character: char| match character {
        '\n' | '\t' => character.to_string(),
        control if control.is_control() => control.escape_unicode().to_string(),
        other => other.to_string(),
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        host::ShownSpan,
        ui::{Output, Paint},
    };

    fn shown() -> ShownTokens {
        let span = |text: &str, trained| ShownSpan { text: text.to_owned(), tokens: 1, trained };
        let spans = vec![span("<|user|>\nhi\u{1b}[2J", false), span("hello<|end|>", true), span("\n", false)];
        ShownTokens { rows: 9, chosen: vec![ShownRow { row_id: "a1".to_owned(), tokens: 3, trained: 1, spans }] }
    }

    fn args(labels: bool) -> ShowArgs {
        let (output, run) = ("tokenize.train".to_owned(), "latest".to_owned());
        ShowArgs { output, labels, rows: 3, row: Vec::new(), run, model: None }
    }

    #[test]
    fn what_is_trained_is_marked_without_colours_and_green_with_them() {
        let ui = |out| Ui { out, ..Ui::detect(Output::Text) };
        let plain = told(&args(true), &shown(), ui(Paint::Plain));
        assert_eq!(plain, "a1  3 tokens, 1 of them trained\n<|user|>\nhi\\u{1b}[2J⟦hello<|end|>⟧\n\n\n1 of 9 rows\n");
        let coloured = told(&args(true), &shown(), ui(Paint::Colours));
        assert!(coloured.contains("\x1b[2m<|user|>\x1b[0m\n\x1b[2mhi\\u{1b}[2J\x1b[0m\x1b[32mhello<|end|>\x1b[0m"), "{coloured}");
        assert!(!told(&args(false), &shown(), ui(Paint::Plain)).contains('⟦'));
    }
}
