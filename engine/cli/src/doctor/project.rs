//! The project: its settings, its lock file, its state, and work that somebody left.

use std::fs;

use flow_engine::{lock::LockFile, project::Project, store::Store};

use super::Check;

pub(super) fn checks(project: &Project) -> Vec<Check> {
    let mut checks = vec![settings(project), lock(project), state(project)];
    // A store that cannot be opened is told by its own check.
    if let Ok(store) = Store::open(&project.site.store) {
        checks.push(work(&store));
    }
    checks
}

/// Settings were parsed when the project was located.
fn settings(project: &Project) -> Check {
    let file = project.root.join(flow_engine::project::SETTINGS_FILE);
    if file.is_file() {
        return Check::ok("settings", file.display().to_string());
    }
    Check::ok("settings", format!("no flow.toml: {} is a project of its own", project.root.display()))
}

fn lock(project: &Project) -> Check {
    match LockFile::read(&project.lock_file) {
        Ok(lock) => {
            let (sources, components) = (lock.sources.len(), lock.components.len());
            Check::ok("lock", format!("{sources} pinned sources, {components} pinned components"))
        }
        Err(error) => {
            let help = miette::Diagnostic::help(&error).map(|help| help.to_string());
            Check::fail("lock", error.to_string(), help.unwrap_or_else(|| "restore flow.lock from version control".to_owned()))
        }
    }
}

/// Whether runs can be recorded.
fn state(project: &Project) -> Check {
    let attempt = || -> std::io::Result<()> {
        fs::create_dir_all(&project.state)?;
        let file = project.state.join(format!("doctor-{}", std::process::id()));
        fs::write(&file, b"")?;
        fs::remove_file(&file)
    };
    match attempt() {
        Ok(()) => Check::ok("runs", project.state.display().to_string()),
        Err(error) => {
            let found = format!("{} cannot be written to: {error}", project.state.display());
            Check::fail("runs", found, "make the folder writable: runs and approvals are recorded there")
        }
    }
}

/// What is being worked on now, and what a killed process left.
fn work(store: &Store) -> Check {
    let living = match store.reservations().living() {
        Ok(living) => living,
        Err(error) => return Check::warn("leases", error.to_string(), "look at the store's folder `res`"),
    };
    let recorded = fs::read_dir(store.root().join("res")).map_or(0, Iterator::count);
    let left = recorded.saturating_sub(living.len());
    let working = match living.len() {
        0 => "no stage is running".to_owned(),
        1 => "1 stage is running".to_owned(),
        count => format!("{count} stages are running"),
    };
    if left == 0 {
        return Check::ok("leases", working);
    }
    // They bind nobody: whoever needs the key takes it over.
    Check::ok("leases", format!("{working}; {left} left by stages that ended, which bind nobody"))
}
