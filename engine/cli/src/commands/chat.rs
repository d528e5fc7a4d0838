//! `flow chat`.

use std::io::{IsTerminal, stdin, stdout};

use clap::Args;

use crate::{
    CliError, ExitStatus, Shell,
    host::{ChatRequest, Choice, Terminal},
};

/// Talk with a model at the terminal
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow chat triage@candidate
  flow chat triage@3 --temperature 0.7
  flow chat file:./my-model --system 'Answer in one sentence.'")]
pub(crate) struct ChatArgs {
    /// The model: NAME@ALIAS, NAME@VERSION, registry:…, pip:…, file:…, or hf:…
    #[arg(value_name = "REF")]
    reference: String,
    /// Tell the model this first; without it a fine-tuned model hears what all its training rows opened with, with '' nothing
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    #[command(flatten)]
    choice: ChoiceArgs,
}

/// How answers are chosen.
#[derive(Debug, Args)]
pub(super) struct ChoiceArgs {
    /// Tokens of an answer at most
    #[arg(long, default_value_t = 256, value_name = "N")]
    max_tokens: usize,
    /// 0 takes the likeliest token every time
    #[arg(long, default_value_t = 0.0, value_name = "T", value_parser = temperature)]
    temperature: f32,
    /// Draw from the smallest set of tokens with this probability
    #[arg(long, default_value_t = 1.0, value_name = "P", value_parser = top_p)]
    top_p: f32,
    /// Seed of the draws
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl From<ChoiceArgs> for Choice {
    fn from(args: ChoiceArgs) -> Self {
        Self { max_tokens: args.max_tokens, temperature: args.temperature, top_p: args.top_p, seed: args.seed }
    }
}

fn temperature(text: &str) -> Result<f32, String> {
    within(text, |value| (0.0..=10.0).contains(&value), "a number from 0 to 10")
}

fn top_p(text: &str) -> Result<f32, String> {
    within(text, |value| value > 0.0 && value <= 1.0, "a number above 0 and at most 1")
}

fn within(text: &str, fits: fn(f32) -> bool, wanted: &str) -> Result<f32, String> {
    text.parse().ok().filter(|value| fits(*value)).ok_or_else(|| format!("expected {wanted}"))
}

pub(super) fn execute(args: ChatArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    if shell.ui.json() {
        return Err(CliError::usage("a chat has no JSON form", "use `flow generate REF -p TEXT --json`, or `flow serve REF`"));
    }
    let request = ChatRequest { reference: args.reference, system: args.system, choice: args.choice.into() };
    let interactive = stdin().is_terminal() && stdout().is_terminal();
    let terminal = Terminal { input: &mut stdin().lock(), output: &mut stdout().lock(), interactive };
    shell.models.chat(&shell.project()?.site, &request, terminal)?;
    Ok(ExitStatus::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert_eq!(temperature("0.7"), Ok(0.7));
        assert!(temperature("-1").is_err() && temperature("NaN").is_err() && temperature("warm").is_err());
        assert!(top_p("0").is_err() && top_p("1.1").is_err());
    }
}
