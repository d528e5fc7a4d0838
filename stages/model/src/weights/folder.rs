//! Reads the safetensors of a Hugging Face folder: one file, or shards with an index.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use safetensors::SafeTensors;
use serde::Deserialize;

use super::{Bytes, Format, Stored, header, map_file};
use crate::ModelError;

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The tensors of a model, and the file that each lies in.
#[derive(Debug, Default)]
pub(super) struct Tensors {
    pub(super) stored: BTreeMap<String, Stored>,
    pub(super) files: BTreeMap<String, PathBuf>,
}

/// Returns every tensor of a folder, mapped and not yet decoded.
pub(super) fn read(folder: &Path) -> Result<Tensors, ModelError> {
    let index = folder.join("model.safetensors.index.json");
    let mut tensors = Tensors::default();
    if !index.exists() {
        tensors.add(&folder.join("model.safetensors"))?;
        return Ok(tensors);
    }
    let places = places(&index)?;
    for shard in places.values().collect::<BTreeSet<_>>() {
        let path = folder.join(shard);
        if !path.exists() {
            return Err(missing_shard(path, index, &places));
        }
        tensors.add(&path)?;
    }
    // A shard of another download can have the right name.
    match places.iter().find(|(name, _)| !tensors.stored.contains_key(*name)) {
        Some((name, shard)) => Err(ModelError::format(
            &folder.join(shard),
            format!("tensor {name} is not in it, although {} says so", index.display()),
        )),
        None => Ok(tensors),
    }
}

impl Tensors {
    fn add(&mut self, path: &Path) -> Result<(), ModelError> {
        for (name, stored) in read_file(path)? {
            if let Some(other) = self.files.insert(name.clone(), path.to_owned()) {
                let reason = format!("tensor {name} is in {} already", other.display());
                return Err(ModelError::format(path, reason));
            }
            self.stored.insert(name, stored);
        }
        Ok(())
    }
}

fn missing_shard(path: PathBuf, index: PathBuf, places: &BTreeMap<String, String>) -> ModelError {
    let own = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut lost = places.iter().filter(|(_, shard)| *shard == own).map(|(name, _)| name.clone());
    let (first, more) = (lost.next().unwrap_or_default(), lost.count());
    ModelError::MissingShard { path, index, first, more }
}

/// Returns which shard holds which tensor: plain names, so that an index cannot point outside its folder.
fn places(index: &Path) -> Result<BTreeMap<String, String>, ModelError> {
    let text = std::fs::read_to_string(index).map_err(|source| ModelError::Read { path: index.to_owned(), source })?;
    let parsed: Index = serde_json::from_str(&text).map_err(|error| ModelError::format(index, error.to_string()))?;
    let plain = |name: &str| !name.contains(['/', '\\']) && name.ends_with(".safetensors");
    match parsed.weight_map.values().find(|name| !plain(name)) {
        Some(name) => Err(ModelError::format(index, format!("{name:?} is not the name of a safetensors file beside it"))),
        None => Ok(parsed.weight_map),
    }
}

/// Reads the tensors of one file.
pub(crate) fn read_file(path: &Path) -> Result<BTreeMap<String, Stored>, ModelError> {
    let map = map_file(path)?;
    let fail = |reason: String| ModelError::format(path, reason);
    let broken = |error: safetensors::SafeTensorError| fail(header::explain(&map).unwrap_or_else(|| error.to_string()));
    let file = SafeTensors::deserialize(&map).map_err(broken)?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        let format = Format::from_safetensors(view.dtype())
            .ok_or_else(|| fail(format!("tensor {name} is stored as {:?}, which is not supported", view.dtype())))?;
        let shape = match *view.shape() {
            [columns] => [1, columns],
            [rows, columns] => [rows, columns],
            _ => return Err(fail(format!("tensor {name} has the shape {:?}", view.shape()))),
        };
        let start = view.data().as_ptr().addr() - map.as_ptr().addr();
        let bytes = Bytes::mapped(Arc::clone(&map), start, view.data().len())
            .ok_or_else(|| fail(format!("tensor {name} reaches past the end of the file")))?;
        tensors.insert(name, Stored::new(format, shape, bytes));
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Checkpoint,
        weights::{config::tests::tiny, names},
    };

    #[test]
    fn a_saved_folder_is_the_same_model() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let model = Checkpoint::random(&tiny(), 3);
        crate::weights::save_folder(&model, folder.path()).expect("saved");
        let read = Checkpoint::open(folder.path()).expect("valid");
        assert_eq!(read.config(), model.config());
        for crate::weights::names::Spec { name, .. } in crate::weights::names::all(&tiny()) {
            let (ours, theirs) = (model.tensor(&name).expect("present"), read.tensor(&name).expect("present"));
            assert_eq!(ours.to_f32(), theirs.to_f32(), "{name}");
        }
    }

    #[test]
    fn shards_are_joined_and_may_not_leave_the_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let model = Checkpoint::random(&tiny(), 3);
        crate::weights::save_folder(&model, folder.path()).expect("saved");
        let index = folder.path().join("model.safetensors.index.json");
        std::fs::rename(folder.path().join("model.safetensors"), folder.path().join("a.safetensors")).expect("moved");
        let write = |shard: &str| {
            let places: BTreeMap<String, &str> = names::all(&tiny()).into_iter().map(|tensor| (tensor.name, shard)).collect();
            std::fs::write(&index, serde_json::json!({"weight_map": places}).to_string()).expect("written");
        };
        write("a.safetensors");
        assert!(Checkpoint::open(folder.path()).is_ok());
        write("../a.safetensors");
        assert!(Checkpoint::open(folder.path()).expect_err("outside").to_string().contains("../a"));
    }

    #[test]
    fn a_torn_file_is_an_error() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        crate::weights::save_folder(&Checkpoint::random(&tiny(), 3), folder.path()).expect("saved");
        let file = folder.path().join("model.safetensors");
        let bytes = std::fs::read(&file).expect("readable");
        std::fs::write(&file, &bytes[..bytes.len() - 5]).expect("written");
        assert!(matches!(Checkpoint::open(folder.path()), Err(ModelError::Format { .. })));
    }

    #[test]
    fn missing_and_misshapen_tensors_are_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        crate::weights::save_folder(&Checkpoint::random(&tiny(), 3), folder.path()).expect("saved");
        let write = |config: crate::ModelConfig| {
            std::fs::write(folder.path().join("config.json"), config.to_hf().to_string()).expect("written");
            Checkpoint::open(folder.path()).expect_err("wrong shape").to_string()
        };
        assert!(write(crate::ModelConfig { layers: 3, ..tiny() }).contains("model.layers.2."));
        assert!(write(crate::ModelConfig { layers: 1, ..tiny() }).contains("cannot place tensor model.layers.1."));
        assert!(write(crate::ModelConfig { vocab_size: 98, ..tiny() }).contains("expected [98, 32]"));
    }

    #[test]
    fn a_pickle_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("pytorch_model.bin"), b"\x80\x02").expect("written");
        assert!(matches!(Checkpoint::open(folder.path()), Err(ModelError::Pickle { .. })));
        assert!(matches!(Checkpoint::open(Path::new("model.pt")), Err(ModelError::Pickle { .. })));
    }
}
