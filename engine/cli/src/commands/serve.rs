//! `flow serve`.

use std::net::SocketAddr;

use clap::Args;
use serde_json::json;

use crate::{CliError, ExitStatus, Shell, host::ServeRequest, ui::Tone};

/// Serve a model over HTTP, as clients of chat completions expect, until interrupted
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow serve triage@candidate
  flow serve triage@candidate --bind 127.0.0.1:0 --json
  KEY=secret flow serve triage@3 --bind 0.0.0.0:8080 --api-key-env KEY

Then:
  curl http://127.0.0.1:8080/v1/chat/completions -H 'content-type: application/json' \\
    -d '{\"model\": \"triage@candidate\", \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'")]
pub(crate) struct ServeArgs {
    /// The model: NAME@ALIAS, NAME@VERSION, registry:…, pip:…, file:…, or hf:…
    #[arg(value_name = "REF")]
    reference: String,
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    bind: SocketAddr,
    /// The environment variable that holds the key callers must send; needed beyond this machine
    #[arg(long, value_name = "NAME")]
    api_key_env: Option<String>,
}

pub(super) fn execute(args: ServeArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let reference = args.reference.clone();
    let request = ServeRequest { reference: args.reference, bind: args.bind, api_key_env: args.api_key_env };
    let ui = shell.ui;
    let mut ready = |address: SocketAddr| {
        if ui.json() {
            crate::ui::document(&json!({ "serving": reference, "address": address }));
        } else {
            let sign = ui.err.tone(Tone::Good, "✓");
            crate::ui::note(&format!("{sign} {reference} answers at http://{address}/v1/chat/completions (Ctrl-C stops it)"));
        }
    };
    shell.models.serve(&shell.project()?.site, &request, &mut ready)?;
    Ok(ExitStatus::Ok)
}
