//! `flow stages`.

use clap::Args;
use serde_json::json;

use crate::{
    CliError, ExitStatus, Shell,
    reference::{Field, Reference, port},
    text::{Cell, Grid, push, wrap},
    ui::{Tone, Ui},
};

/// The kind that runs a person's own program, and what it does.
const COMMAND: (&str, &str) = ("cmd", "Run a command of any language with declared inputs, code, and outputs.");

/// The keys of a command: what they take and what they do.
const COMMAND_KEYS: [(&str, &str, &str); 6] = [
    ("run", "list of string, required", "The program and its arguments; `${in.PORT}` and `${out.PORT}` stand for paths."),
    ("in", "PORT: stage.port", "Its inputs."),
    ("out", "PORT: {path, kind}, required", "What it writes; every output must be there when it ends."),
    ("code", "list of string", "Files it needs, relative to the workflow; their content decides whether it runs again."),
    ("env", "NAME: value", "Its environment, besides `PATH` and `HOME`."),
    ("external", "list of string", "Files of this machine that it reads; their content decides whether it runs again."),
];

/// List the kinds of stage, or print the reference of one
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow stages
  flow stages train/sft")]
pub(crate) struct StagesArgs {
    /// The kind, as written after `uses:`
    kind: Option<String>,
}

pub(super) fn execute(args: &StagesArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let ui = shell.ui;
    let Some(name) = &args.kind else {
        let all: Vec<Reference> = shell.registry.kinds().map(Reference::of).collect();
        if ui.json() {
            crate::ui::document(&all);
        } else {
            crate::ui::print(&list(&all, ui));
        }
        return Ok(ExitStatus::Ok);
    };
    let bare = name.split('@').next().unwrap_or(name);
    if bare == COMMAND.0 {
        if ui.json() {
            crate::ui::document(&json!({ "name": COMMAND.0, "major": 1, "doc": COMMAND.1 }));
        } else {
            crate::ui::print(&command(ui));
        }
        return Ok(ExitStatus::Ok);
    }
    let Some(kind) = shell.registry.kind(bare) else {
        let known: Vec<&str> = shell.registry.kinds().map(|kind| kind.name).chain([COMMAND.0]).collect();
        // The second word of a kind is what people remember.
        let near = known.iter().find(|kind| kind.rsplit('/').next() == Some(bare)).map(|kind| format!("did you mean {kind}? "));
        let help = format!("{}known kinds are {}", near.unwrap_or_default(), known.join(", "));
        return Err(CliError::usage(format!("there is no stage kind {name:?}"), help));
    };
    let reference = Reference::of(kind);
    if ui.json() {
        crate::ui::document(&reference);
    } else {
        crate::ui::print(&page(&reference, ui));
    }
    Ok(ExitStatus::Ok)
}

fn list(all: &[Reference], ui: Ui) -> String {
    let mut grid = Grid::new();
    for reference in all {
        let first = reference.doc.split("\n\n").next().unwrap_or_default();
        grid.row([Cell::toned(Tone::Strong, format!("{}@{}", reference.name, reference.major)), Cell::plain(first)]);
    }
    grid.row([Cell::toned(Tone::Strong, format!("{}@1", COMMAND.0)), Cell::plain(COMMAND.1)]);
    format!("{}\n  {}\n", grid.render(ui.out, ui.width), ui.out.quiet("`flow stages KIND` tells what a kind takes"))
}

/// `cmd` has no configuration struct: its keys stand in the workflow beside `uses:`.
fn command(ui: Ui) -> String {
    let paint = ui.out;
    let title = paint.strong(&format!("{}@1", COMMAND.0));
    let mut out = format!("{title}\n{}\n  {}\n", indented(COMMAND.1, 2, ui.width), paint.quiet("beside uses:"));
    for (key, takes, doc) in COMMAND_KEYS {
        let head = format!("    {}  {}", paint.strong(key), paint.tone(Tone::Calm, takes));
        push(&mut out, format_args!("{head}\n{}", indented(doc, 8, ui.width)));
    }
    out
}

fn page(reference: &Reference, ui: Ui) -> String {
    let paint = ui.out;
    let mut out = format!(
        "{}\n{}",
        paint.strong(&format!("{}@{}", reference.name, reference.major)),
        indented(&reference.doc, 2, ui.width)
    );
    if let Some(ports) = &reference.ports {
        for (title, ports) in [("in", &ports.inputs), ("out", &ports.outputs)] {
            if !ports.is_empty() {
                let list: Vec<String> = ports.iter().map(port).collect();
                push(&mut out, format_args!("\n  {:<4} {}", paint.quiet(title), list.join(", ")));
            }
        }
        out.push('\n');
    }
    if !reference.fields.is_empty() {
        push(&mut out, format_args!("\n  {}\n", paint.quiet("with")));
    }
    for field in &reference.fields {
        out.push_str(&entry(field, ui));
    }
    out
}

fn entry(field: &Field, ui: Ui) -> String {
    let paint = ui.out;
    let margin = 4 + 2 * field.depth;
    let state = match (&field.default, field.required) {
        (Some(default), _) => format!(", default {default}"),
        (None, true) => ", required".to_owned(),
        (None, false) => String::new(),
    };
    let head = format!("{}{}  {}", " ".repeat(margin), paint.strong(&field.name), paint.tone(Tone::Calm, &field.takes));
    format!("{head}{}\n{}", paint.quiet(&state), indented(&field.doc, margin + 4, ui.width))
}

fn indented(text: &str, margin: usize, width: usize) -> String {
    let space = " ".repeat(margin);
    let mut out = String::new();
    for line in wrap(text, width.saturating_sub(margin)) {
        push(&mut out, format_args!("{}\n", format!("{space}{line}").trim_end()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::{Output, Paint};

    #[test]
    fn a_field_is_two_lines() {
        let ui = Ui { out: Paint::Plain, width: 40, ..Ui::detect(Output::Text) };
        let field = Field {
            name: "lr".into(),
            depth: 0,
            takes: "number ≥ 0".into(),
            required: false,
            default: Some(0.0002.into()),
            doc: "The highest learning rate of the whole schedule.".into(),
        };
        let expected = "    lr  number ≥ 0, default 0.0002\n        The highest learning rate of the\n        whole schedule.\n";
        assert_eq!(entry(&field, ui), expected);
    }
}
