//! A folder with workflow files in it, and the plans they become.

#![expect(dead_code, reason = "each test binary uses its own part of the folder")]

use std::path::{Path, PathBuf};

use flow_engine::{
    plan::{Plan, PlanErrors, PlanRequest},
    project::Project,
    testing::toys,
};

/// A temporary folder that holds `workflow.yaml` and what it uses.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    /// A folder with one workflow.
    pub(crate) fn of(text: &str) -> Self {
        Self::new(&[("workflow.yaml", text)])
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn project(&self) -> Project {
        let home = |name: &str| (name == "HOME").then(|| "/nowhere".to_owned());
        Project::locate(&self.path().join("workflow.yaml"), &home).unwrap()
    }

    pub(crate) fn plan(&self, params: &[(&str, &str)], only: &[&str]) -> Result<Plan, PlanErrors> {
        self.ask(params, only, None)
    }

    pub(crate) fn ask(&self, params: &[(&str, &str)], only: &[&str], profile: Option<&str>) -> Result<Plan, PlanErrors> {
        let params: Vec<_> = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let only: Vec<_> = only.iter().map(|name| (*name).to_owned()).collect();
        let (project, registry) = (self.project(), toys());
        Plan::load(&PlanRequest { project: &project, registry: &registry, params: &params, only: &only, limit: Some(5), profile })
    }

    /// The problems of `flow check`, as codes and messages.
    pub(crate) fn check(&self) -> Vec<(&'static str, String)> {
        let (project, registry) = (self.project(), toys());
        let request = PlanRequest { project: &project, registry: &registry, params: &[], only: &[], limit: None, profile: None };
        let problems = Plan::check(&request).err().map(PlanErrors::into_problems).unwrap_or_default();
        problems.into_iter().map(|problem| (problem.code, problem.message)).collect()
    }

    /// Codes and words that the problems of the workflow point at.
    pub(crate) fn problems(&self, profile: Option<&str>) -> Vec<(&'static str, String)> {
        let errors = self.ask(&[], &[], profile).unwrap_err();
        let word = |problem: &flow_engine::workflow::Problem| {
            (problem.code, problem.file.text()[problem.span.start..problem.span.end].to_owned())
        };
        errors.problems().iter().map(word).collect()
    }
}
