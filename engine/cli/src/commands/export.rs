//! `flow export`.

use std::path::{Path, PathBuf};

use clap::Args;
use flow_engine::{
    export::{
        Account,
        capsule::{Packed, Pinned, pack},
        lay_out, lineage_events, signed, statements,
    },
    plan::{Plan, PlanRequest},
    project::Project,
    store::Store,
};
use serde_json::{Value, json};

use super::{find::Found, who};
use crate::{
    CliError, ExitStatus, Shell,
    text::{bytes, push},
};

/// Write a run out for others: a capsule, a research object, provenance, or lineage events
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow export --capsule run.tar.zst          everything, in one file; `flow replay` checks it
  flow export latest --ro-crate crate        a folder with ro-crate-metadata.json
  flow export --provenance results.jsonl     one in-toto statement for every stage
  flow export --provenance p.jsonl --sign    each in an envelope that your key signed
  flow export --openlineage events.ndjson")]
pub(crate) struct ExportArgs {
    /// The run: its name, or `latest`
    #[arg(default_value = "latest")]
    run: String,
    /// Pack the run and all its results into a new file
    #[arg(long, value_name = "FILE")]
    capsule: Option<PathBuf>,
    /// Pack models and other pinned sources as well
    #[arg(long, requires = "capsule")]
    with_pinned: bool,
    /// Lay the run out in a new folder, described by ro-crate-metadata.json
    #[arg(long, value_name = "DIR")]
    ro_crate: Option<PathBuf>,
    /// Write in-toto statements with SLSA provenance, one a line; `-` is standard output
    #[arg(long, value_name = "FILE")]
    provenance: Option<PathBuf>,
    /// Sign every statement with your key, as decisions are signed
    #[arg(long, requires = "provenance")]
    sign: bool,
    /// Write lineage events in the form of openlineage.io, one a line; `-` is standard output
    #[arg(long, value_name = "FILE")]
    openlineage: Option<PathBuf>,
}

pub(super) fn execute(args: &ExportArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let asked = [&args.capsule, &args.ro_crate, &args.provenance, &args.openlineage];
    if asked.iter().all(|place| place.is_none()) {
        let help = "name one of --capsule FILE, --ro-crate DIR, --provenance FILE, and --openlineage FILE";
        return Err(CliError::usage("nothing is asked for", help));
    }
    let found = Found::run(shell, &args.run)?;
    let account = Account::of(&found.project, found.run)?;
    let mut written = Vec::new();
    if let Some(file) = &args.capsule {
        let pinned = if args.with_pinned { Pinned::Inside } else { Pinned::LeftOut };
        let packed = pack(&account, (&found.project, &shell.registry), pinned, file)?;
        written.push(json!({ "capsule": packed }));
        if !shell.ui.json() {
            crate::ui::print(&told(&packed));
        }
    }
    if let Some(folder) = &args.ro_crate {
        refuse_full(folder)?;
        let place = lay_out(&account, &Store::open(&found.project.site.store)?, folder)?;
        written.push(json!({ "ro_crate": place }));
        if !shell.ui.json() {
            crate::ui::print(&format!("{}\n", place.display()));
        }
    }
    if let Some(file) = &args.provenance {
        lines((file, &provenance(&account, &found.project, args)?), shell)?;
        written.push(json!({ "provenance": file, "signed": args.sign }));
    }
    if let Some(file) = &args.openlineage {
        lines((file, &events(&account, &found.project, shell)?), shell)?;
        written.push(json!({ "openlineage": file }));
    }
    if shell.ui.json() {
        crate::ui::document(&json!({ "run": found.run, "written": written }));
    }
    Ok(ExitStatus::Ok)
}

/// A statement for every stage, in an envelope if it is to be signed.
fn provenance(account: &Account, project: &Project, args: &ExportArgs) -> Result<Vec<Value>, CliError> {
    let statements = statements(account);
    if !args.sign {
        return Ok(statements);
    }
    let key = who::signatory(project).key(&project.governance.trust)?;
    Ok(signed(&statements, &key).into_iter().map(|envelope| json!(envelope)).collect())
}

/// The graph is not in the journal: the workflow is planned as it was asked for.
fn events(account: &Account, project: &Project, shell: &Shell) -> Result<Vec<Value>, CliError> {
    let request = &account.state.request;
    let project = if request.workflow_file.is_file() {
        Project::locate(&request.workflow_file, &crate::environment)?
    } else {
        project.clone()
    };
    let plan = Plan::load(&PlanRequest {
        registry: &shell.registry,
        params: &request.params,
        profile: request.profile.as_deref(),
        only: &request.only,
        limit: request.limit,
        project: &project,
    })?;
    let namespace = project.settings.openlineage.namespace.clone().or_else(|| crate::environment("OPENLINEAGE_NAMESPACE"));
    let namespace = namespace.unwrap_or_else(|| "flow".to_owned());
    Ok(lineage_events(&plan, &namespace, &account.entries))
}

fn told(packed: &Packed) -> String {
    let mut out = format!("{}: {} files, {}\n", packed.file.display(), packed.files, bytes(packed.bytes));
    if !packed.left_out.is_empty() {
        let first = packed.left_out.first().map(|left| left.source.as_str()).unwrap_or_default();
        let count = packed.left_out.len();
        push(
            &mut out,
            format_args!("  {count} source files are not inside, such as those of {first}; --with-pinned packs models too\n"),
        );
    }
    push(&mut out, format_args!("  next  flow replay {}\n", packed.file.display()));
    out
}

fn refuse_full(folder: &Path) -> Result<(), CliError> {
    let full = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if full || folder.is_file() {
        let message = format!("{} is not empty, and nothing is overwritten", folder.display());
        return Err(CliError::usage(message, "name a new folder"));
    }
    Ok(())
}

/// Documents, one a line, into a new file or to standard output.
fn lines((file, documents): (&Path, &[Value]), shell: &Shell) -> Result<(), CliError> {
    let lines = documents.iter().map(|document| format!("{document}\n"));
    let text = lines.collect::<Vec<_>>().concat();
    if file == Path::new("-") {
        crate::ui::print(&text);
        return Ok(());
    }
    let write = || -> std::io::Result<()> {
        let mut new = std::fs::File::create_new(file)?;
        std::io::Write::write_all(&mut new, text.as_bytes())?;
        new.sync_all()
    };
    write().map_err(|error| {
        CliError::usage(format!("cannot write {}: {error}", file.display()), "name a new file in a folder that may be written to")
    })?;
    if !shell.ui.json() {
        crate::ui::print(&format!("{}: {} lines\n", file.display(), documents.len()));
    }
    Ok(())
}
