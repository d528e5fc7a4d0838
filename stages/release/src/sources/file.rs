//! `file:PATH`: a model file or folder on this machine, used where it lies.

use flow_engine::{Locate, Located, SourceError, SourceResolver};

use super::{body, refuse_pickle, refused_with};

/// Resolves `file:` URIs; relative paths resolve against the workflow file.
pub struct FileResolver;

impl SourceResolver for FileResolver {
    fn scheme(&self) -> &'static str {
        "file"
    }

    fn locate(&self, request: &Locate<'_>) -> Result<Located, SourceError> {
        let path = request.base.join(body(request));
        refuse_pickle(request, &path.to_string_lossy())?;
        if !path.exists() {
            let help = format!("the path resolves to {}; check the spelling", path.display());
            return Err(refused_with(request, "no such file or folder", help));
        }
        Ok(Located::InPlace(path))
    }
}
