//! The terminal: what it can show, and the only functions of `flow` that write to it.

use std::io::{IsTerminal, Write, stderr, stdin, stdout};

use serde::Serialize;

/// Width where there is no terminal to ask.
const DEFAULT_WIDTH: usize = 100;

/// What a command may show, decided once at start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ui {
    /// Whether standard output carries JSON or text.
    pub(crate) output: Output,
    /// Colours of standard output.
    pub(crate) out: Paint,
    /// Colours of standard error.
    pub(crate) err: Paint,
    /// Columns of the terminal.
    pub(crate) width: usize,
    /// Whether standard error is a terminal, so that lines can be redrawn.
    pub(crate) live: bool,
    /// Whether a person sits at standard input and reads standard error.
    pub(crate) interactive: bool,
}

/// What standard output carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Text for people.
    Text,
    /// JSON for programs.
    Json,
}

impl Ui {
    /// Looks at the streams of this process and at `NO_COLOR`, `TERM`, and `COLUMNS`.
    pub(crate) fn detect(output: Output) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let paint = |terminal: bool| {
            if terminal && !plain && !dumb { Paint::Colours } else { Paint::Plain }
        };
        Self {
            output,
            out: paint(stdout().is_terminal()),
            err: paint(stderr().is_terminal()),
            width: width(),
            live: stderr().is_terminal() && !dumb,
            interactive: stdin().is_terminal() && stderr().is_terminal(),
        }
    }

    /// Whether standard output carries JSON.
    pub(crate) fn json(self) -> bool {
        self.output == Output::Json
    }
}

/// Writes text to standard output. A reader that went away is not an error.
pub(crate) fn print(text: &str) {
    write(&mut stdout().lock(), text);
}

/// Writes one JSON document as a line of standard output.
pub(crate) fn document(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(line) => print(&format!("{line}\n")),
        Err(error) => note(&format!("cannot show the result as JSON: {error}")),
    }
}

/// Writes a line to standard error.
pub(crate) fn note(text: &str) {
    write(&mut stderr().lock(), &format!("{text}\n"));
}

/// Writes text to standard error as it is, for prompts.
pub(crate) fn prompt(text: &str) {
    write(&mut stderr().lock(), text);
}

fn write(stream: &mut dyn Write, text: &str) {
    // `flow status | head` closes the pipe early: nobody is left to tell.
    let _closed = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
}

fn width() -> usize {
    let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = || rustix::termios::tcgetwinsize(stderr()).ok().map(|size| usize::from(size.ws_col));
    asked.or_else(terminal).filter(|columns| *columns >= 40).unwrap_or(DEFAULT_WIDTH)
}

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// As it is.
    Plain,
    /// With ANSI codes.
    Colours,
}

/// What a colour means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Names and headings.
    Strong,
    /// What can be overlooked.
    Quiet,
    /// Done.
    Good,
    /// Wrong.
    Bad,
    /// Somebody should look.
    Watch,
    /// Going on, or kept from before.
    Calm,
}

impl Paint {
    /// Colours a text by its meaning.
    pub(crate) fn tone(self, tone: Tone, text: &str) -> String {
        let code = match (self, tone) {
            (Self::Plain, _) => return text.to_owned(),
            (Self::Colours, Tone::Strong) => "1",
            (Self::Colours, Tone::Quiet) => "2",
            (Self::Colours, Tone::Good) => "32",
            (Self::Colours, Tone::Bad) => "31",
            (Self::Colours, Tone::Watch) => "33",
            (Self::Colours, Tone::Calm) => "36",
        };
        if text.is_empty() { String::new() } else { format!("\x1b[{code}m{text}\x1b[0m") }
    }

    /// Whether there are colours to tell things apart by.
    pub(crate) fn coloured(self) -> bool {
        self == Self::Colours
    }

    /// [`Tone::Strong`].
    pub(crate) fn strong(self, text: &str) -> String {
        self.tone(Tone::Strong, text)
    }

    /// [`Tone::Quiet`].
    pub(crate) fn quiet(self, text: &str) -> String {
        self.tone(Tone::Quiet, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paint_adds_nothing() {
        assert_eq!(Paint::Plain.tone(Tone::Bad, "x"), "x");
        assert_eq!(Paint::Colours.tone(Tone::Bad, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!(Paint::Colours.strong(""), "");
    }
}
