//! Where a workflow's things lie: its project folder, its lock file, its state, and the places of this machine.
//!
//! The environment comes in as a function, so that callers can run side by side with different ones. What lies inside the
//! folders is the business of [`crate::store`] and [`crate::run`].

use std::{
    io,
    path::{Path, PathBuf},
};

pub use crate::settings::SETTINGS_FILE;
use crate::{context::Site, govern::Governance, settings::Settings};

/// The folders and files that belong to one workflow file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// The nearest parent that holds `flow.toml`, else the workflow file's folder.
    pub root: PathBuf,
    /// The workflow file's folder: relative paths of the workflow resolve against it.
    pub base: PathBuf,
    /// The workflow file.
    pub workflow_file: PathBuf,
    /// `flow.lock` beside the workflow file.
    pub lock_file: PathBuf,
    /// `.flow` below the root: runs and state, not kept in version control.
    pub state: PathBuf,
    /// Places of this machine that stages may use.
    pub site: Site,
    /// Whose decisions count, and which policy plans must meet.
    pub governance: Governance,
    /// What `flow.toml` says.
    pub settings: Settings,
}

/// A project that cannot be located.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ProjectError {
    /// There is no workflow file.
    #[error("cannot find workflow file {}", path.display())]
    #[diagnostic(code(flow::project::no_workflow), help("name an existing file, such as `flow run workflow.yaml`"))]
    NoWorkflow {
        /// What was looked for.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// A folder was named where a file is needed.
    #[error("workflow file {} is a folder", path.display())]
    #[diagnostic(code(flow::project::folder), help("name the file inside it, such as {}", path.join("workflow.yaml").display()))]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// `flow.toml` cannot be read.
    #[error("cannot read {}", path.display())]
    #[diagnostic(code(flow::project::unreadable_settings), help("make the file readable, or remove it"))]
    Unreadable {
        /// The settings file.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// `flow.toml` holds something else than settings.
    #[error("cannot parse {}", path.display())]
    #[diagnostic(code(flow::project::invalid_settings), help("docs/workflow.md lists every setting"))]
    Invalid {
        /// The settings file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The path of a folder is no text, and records of runs hold paths as text.
    #[error("cannot use {}: its path is not valid UTF-8", path.display())]
    #[diagnostic(code(flow::project::not_text), help("rename the folder; files inside it may have any names"))]
    NotText {
        /// The folder.
        path: PathBuf,
    },
    /// Neither `$HOME` nor the specific variable says where a folder should be.
    #[error("cannot tell where the {what} lies: HOME is not set")]
    #[diagnostic(code(flow::project::no_home), help("set {variable}, or HOME"))]
    NoHome {
        /// `store` or `registry`.
        what: &'static str,
        /// The variable that would say it.
        variable: &'static str,
    },
}

impl Project {
    /// Finds the project of a workflow file. `environment` gives the value of a variable.
    pub fn locate(workflow_file: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, ProjectError> {
        let no_workflow = |source| ProjectError::NoWorkflow { path: workflow_file.to_owned(), source };
        if workflow_file.metadata().map_err(no_workflow)?.is_dir() {
            return Err(ProjectError::Folder { path: workflow_file.to_owned() });
        }
        Self::of(std::path::absolute(workflow_file).map_err(no_workflow)?, environment)
    }

    /// Finds the project around a folder, whether or not a workflow file stands in it.
    pub fn around(folder: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, ProjectError> {
        let missing = |source| ProjectError::NoWorkflow { path: folder.to_owned(), source };
        let folder = folder.canonicalize().map_err(missing)?;
        Self::of(folder.join("workflow.yaml"), environment)
    }

    fn of(workflow_file: PathBuf, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, ProjectError> {
        let base = workflow_file.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
        let root = base.ancestors().find(|folder| folder.join(SETTINGS_FILE).is_file()).unwrap_or(&base).to_owned();
        if workflow_file.to_str().is_none() {
            return Err(ProjectError::NotText { path: workflow_file });
        }
        let settings = Settings::read(&root.join(SETTINGS_FILE))?;
        let site = Site {
            registry: registry_folder(&settings, &root, environment)?,
            store: store_folder(&settings, &root, environment)?,
            base: base.clone(),
        };
        let policy = settings.policy.file.as_ref().map(|file| root.join(file));
        let governance = Governance { trust: settings.trust.clone(), policy };
        Ok(Self {
            lock_file: base.join("flow.lock"),
            state: root.join(".flow"),
            root,
            base,
            workflow_file,
            site,
            governance,
            settings,
        })
    }
}

type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

fn registry_folder(settings: &Settings, root: &Path, environment: Environment<'_>) -> Result<PathBuf, ProjectError> {
    match &settings.registry.path {
        Some(path) => Ok(root.join(path)),
        None => user_folder(environment, "XDG_DATA_HOME", ".local/share")
            .map(|data| data.join("flow/registry"))
            .ok_or(ProjectError::NoHome { what: "registry", variable: "XDG_DATA_HOME" }),
    }
}

fn store_folder(settings: &Settings, root: &Path, environment: Environment<'_>) -> Result<PathBuf, ProjectError> {
    if let Some(path) = environment("FLOW_STORE").filter(|path| !path.is_empty()) {
        return std::path::absolute(path).map_err(|source| ProjectError::Unreadable { path: root.to_owned(), source });
    }
    match &settings.store.path {
        Some(path) => Ok(root.join(path)),
        None => user_folder(environment, "XDG_CACHE_HOME", ".cache")
            .map(|cache| cache.join("flow/store"))
            .ok_or(ProjectError::NoHome { what: "store", variable: "FLOW_STORE" }),
    }
}

/// A folder of the user by the XDG rules: a relative value of the variable counts as unset.
fn user_folder(environment: &dyn Fn(&str) -> Option<String>, variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(name: &str) -> Option<String> {
        (name == "HOME").then(|| "/home/ada".to_owned())
    }

    fn workflow_in(folder: &Path) -> PathBuf {
        std::fs::create_dir_all(folder).unwrap();
        let file = folder.join("workflow.yaml");
        std::fs::write(&file, "flow: 1\n").unwrap();
        file
    }

    #[test]
    fn the_nearest_settings_file_marks_the_root() {
        let top = tempfile::tempdir().unwrap();
        std::fs::write(top.path().join(SETTINGS_FILE), "[registry]\npath = \"models\"\n").unwrap();
        let project = Project::locate(&workflow_in(&top.path().join("a/b")), &home).unwrap();
        assert_eq!(project.root, top.path());
        assert_eq!(project.base, top.path().join("a/b"));
        assert_eq!(project.state, top.path().join(".flow"));
        assert_eq!(project.site.registry, top.path().join("models"));
        assert_eq!(project.lock_file, top.path().join("a/b/flow.lock"));
    }

    #[test]
    fn without_settings_the_file_s_folder_is_the_root_and_folders_are_the_user_s() {
        let top = tempfile::tempdir().unwrap();
        let project = Project::locate(&workflow_in(top.path()), &home).unwrap();
        assert_eq!(project.root, top.path());
        assert_eq!(project.site.store, Path::new("/home/ada/.cache/flow/store"));
        assert_eq!(project.site.registry, Path::new("/home/ada/.local/share/flow/registry"));
    }

    #[test]
    fn variables_move_the_folders_and_relative_ones_are_ignored() {
        let top = tempfile::tempdir().unwrap();
        let file = workflow_in(top.path());
        let environment = |name: &str| match name {
            "FLOW_STORE" => Some("/big/store".to_owned()),
            "XDG_DATA_HOME" => Some("relative".to_owned()),
            _ => home(name),
        };
        let project = Project::locate(&file, &environment).unwrap();
        assert_eq!(project.site.store, Path::new("/big/store"));
        assert_eq!(project.site.registry, Path::new("/home/ada/.local/share/flow/registry"));
    }

    #[test]
    fn trusted_people_and_the_policy_are_settings_of_the_project() {
        let top = tempfile::tempdir().unwrap();
        let file = workflow_in(&top.path().join("a"));
        let key = crate::govern::SecretKey::generate().unwrap().public();
        let settings = format!("[trust]\nalice = {{key = \"{key}\", roles = [\"steward\"]}}\n[policy]\nfile = \"policy.yaml\"\n");
        std::fs::write(top.path().join(SETTINGS_FILE), settings).unwrap();
        let governance = Project::locate(&file, &home).unwrap().governance;
        assert_eq!(governance.trust.owner(&key).map(|(name, _)| name), Some("alice"));
        assert_eq!(governance.policy, Some(top.path().join("policy.yaml")));
    }

    #[test]
    fn wrong_settings_missing_files_and_no_home_are_errors() {
        let top = tempfile::tempdir().unwrap();
        let file = workflow_in(top.path());
        assert!(matches!(Project::locate(&file, &|_| None), Err(ProjectError::NoHome { .. })));
        assert!(matches!(Project::locate(&top.path().join("none.yaml"), &home), Err(ProjectError::NoWorkflow { .. })));
        assert!(matches!(Project::locate(top.path(), &home), Err(ProjectError::Folder { .. })));
        std::fs::write(top.path().join(SETTINGS_FILE), "[regstry]\n").unwrap();
        assert!(matches!(Project::locate(&file, &home), Err(ProjectError::Invalid { .. })));
        let bytes: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff");
        let no_text = workflow_in(&top.path().join(bytes));
        assert!(matches!(Project::locate(&no_text, &home), Err(ProjectError::NotText { .. })));
    }
}
