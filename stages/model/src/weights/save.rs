//! Writes Hugging Face files: every file appears whole or not at all.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use safetensors::{Dtype, tensor::TensorView};

use super::{Checkpoint, names};
use crate::ModelError;

/// One tensor to write: name, shape, and values.
pub(crate) type Named = (String, Vec<usize>, Vec<f32>);

/// Writes a model as `config.json` and `model.safetensors` in single precision.
pub fn save_folder(model: &Checkpoint, folder: &Path) -> Result<(), ModelError> {
    std::fs::create_dir_all(folder).map_err(|source| ModelError::Write { path: folder.to_owned(), source })?;
    let mut tensors: Vec<Named> = Vec::new();
    for spec in names::all(model.config()) {
        let values = model.tensor(&spec.name)?.to_f32();
        tensors.push((spec.name.clone(), spec.dimensions(), values));
    }
    write_tensors(&folder.join("model.safetensors"), &tensors)?;
    let config = format!("{:#}\n", model.config().to_hf());
    write_atomic(&folder.join("config.json"), config.as_bytes())
}

/// Writes tensors in single precision, with the metadata that `transformers` and `peft` ask for.
pub(crate) fn write_tensors(path: &Path, tensors: &[Named]) -> Result<(), ModelError> {
    let fail = |error: safetensors::SafeTensorError| ModelError::format(path, error.to_string());
    let raw: Vec<(&str, &[usize], Vec<u8>)> = tensors
        .iter()
        .map(|(name, shape, values)| {
            (name.as_str(), shape.as_slice(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .collect();
    let mut views = Vec::with_capacity(raw.len());
    for (name, shape, bytes) in &raw {
        views.push((*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).map_err(fail)?));
    }
    let metadata = std::iter::once(("format".to_owned(), "pt".to_owned())).collect();
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(fail)?;
    write_atomic(path, &bytes)
}

/// Writes beside the target, makes it durable, and renames.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    let fail = |source| ModelError::Write { path: path.to_owned(), source };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part: PathBuf = path.with_file_name(name);
    let mut file = std::fs::File::create(&part).map_err(fail)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(fail)?;
    std::fs::rename(&part, path).map_err(fail)
}
