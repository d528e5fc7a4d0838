//! Reads the safetensors of a Hugging Face folder: one file, or shards with an index.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use safetensors::SafeTensors;
use serde::Deserialize;

use super::{Bytes, Format, Stored, map_file};
use crate::ModelError;

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Returns every tensor of a folder, mapped and not yet decoded.
pub(super) fn read(folder: &Path) -> Result<BTreeMap<String, Stored>, ModelError> {
    let index = folder.join("model.safetensors.index.json");
    let mut tensors = BTreeMap::new();
    if !index.exists() {
        read_file(&folder.join("model.safetensors"), &mut tensors)?;
        return Ok(tensors);
    }
    for shard in shards(&index)? {
        read_file(&folder.join(shard), &mut tensors)?;
    }
    Ok(tensors)
}

/// Returns the names of the shards that an index lists: plain names, so that an index cannot point outside its folder.
fn shards(index: &Path) -> Result<BTreeSet<String>, ModelError> {
    let text = std::fs::read_to_string(index).map_err(|source| ModelError::Read { path: index.to_owned(), source })?;
    let parsed: Index = serde_json::from_str(&text).map_err(|error| ModelError::format(index, error.to_string()))?;
    let names: BTreeSet<String> = parsed.weight_map.into_values().collect();
    match names.iter().find(|name| name.contains(['/', '\\']) || !name.ends_with(".safetensors")) {
        Some(name) => Err(ModelError::format(index, format!("{name:?} is not the name of a safetensors file beside it"))),
        None => Ok(names),
    }
}

/// Adds the tensors of one file.
pub(crate) fn read_file(path: &Path, tensors: &mut BTreeMap<String, Stored>) -> Result<(), ModelError> {
    let map = map_file(path)?;
    let fail = |reason: String| ModelError::format(path, reason);
    let file = SafeTensors::deserialize(&map).map_err(|error| fail(error.to_string()))?;
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
        if tensors.insert(name.clone(), Stored::new(format, shape, bytes)).is_some() {
            return Err(fail(format!("tensor {name} is in two shards")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Checkpoint, weights::config::tests::tiny};

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
        std::fs::write(&index, r#"{"weight_map": {"x": "a.safetensors"}}"#).expect("written");
        assert!(Checkpoint::open(folder.path()).is_ok());
        std::fs::write(&index, r#"{"weight_map": {"x": "../a.safetensors"}}"#).expect("written");
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
