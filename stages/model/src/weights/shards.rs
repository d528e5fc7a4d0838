//! Writes the tensors of a model one after another into files of bounded size: no more than one tensor is in memory, and
//! every file appears whole or not at all.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use serde_json::{Map, Value, json};

use super::{Precision, names::Spec, write_atomic};
use crate::ModelError;

/// How tensors are laid out in files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) precision: Precision,
    /// Bytes of one file's tensors at most, but for a single tensor that is larger.
    pub(crate) limit: u64,
}

/// Gives the numbers of a tensor when its turn comes.
pub(crate) type Numbers<'a> = &'a mut dyn FnMut(&Spec) -> Result<Vec<f32>, ModelError>;

/// Writes tensors in their order: `model.safetensors`, or shards with an index.
pub(crate) fn write_shards(folder: &Path, tensors: &[Spec], layout: Layout, numbers: Numbers<'_>) -> Result<(), ModelError> {
    std::fs::create_dir_all(folder).map_err(|source| ModelError::Write { path: folder.to_owned(), source })?;
    let shards = split(tensors, layout);
    if let [all] = shards.as_slice() {
        return write_file(&folder.join("model.safetensors"), all, layout.precision, numbers);
    }
    let mut places = BTreeMap::new();
    for (index, shard) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{:05}.safetensors", index + 1, shards.len());
        write_file(&folder.join(&name), shard, layout.precision, numbers)?;
        places.extend(shard.iter().map(|tensor| (tensor.name.clone(), name.clone())));
    }
    let total: u64 = tensors.iter().map(|tensor| size(tensor, layout.precision)).sum();
    let index = json!({"metadata": {"total_size": total}, "weight_map": places});
    write_atomic(&folder.join("model.safetensors.index.json"), format!("{index:#}\n").as_bytes())
}

fn size(tensor: &Spec, precision: Precision) -> u64 {
    (tensor.shape[0] * tensor.shape[1]) as u64 * precision.bytes()
}

/// Fills one file after another.
fn split(tensors: &[Spec], layout: Layout) -> Vec<&[Spec]> {
    let (mut shards, mut start, mut filled) = (Vec::new(), 0, 0);
    for (index, tensor) in tensors.iter().enumerate() {
        let size = size(tensor, layout.precision);
        if index > start && filled + size > layout.limit {
            shards.push(&tensors[start..index]);
            (start, filled) = (index, 0);
        }
        filled += size;
    }
    shards.push(&tensors[start..]);
    shards
}

fn write_file(path: &Path, tensors: &[Spec], precision: Precision, numbers: Numbers<'_>) -> Result<(), ModelError> {
    let fail = |source| ModelError::Write { path: path.to_owned(), source };
    let part = path.with_extension("safetensors.part");
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&part).map_err(fail)?);
    let header = header(tensors, precision);
    file.write_all(&(header.len() as u64).to_le_bytes()).and_then(|()| file.write_all(header.as_bytes())).map_err(fail)?;
    for tensor in tensors {
        let values = numbers(tensor)?;
        if values.len() != tensor.shape[0] * tensor.shape[1] {
            return Err(ModelError::format(path, format!("tensor {} came with {} numbers", tensor.name, values.len())));
        }
        file.write_all(&precision.encode(&values)).map_err(fail)?;
    }
    let file = file.into_inner().map_err(|error| fail(error.into_error()))?;
    file.sync_all().map_err(fail)?;
    std::fs::rename(&part, path).map_err(fail)
}

/// Returns the header, filled up so that numbers are aligned.
fn header(tensors: &[Spec], precision: Precision) -> String {
    let mut entries = Map::new();
    entries.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut start = 0;
    for tensor in tensors {
        let end = start + size(tensor, precision);
        let entry = json!({"dtype": precision.in_safetensors(), "shape": tensor.dimensions(), "data_offsets": [start, end]});
        entries.insert(tensor.name.clone(), entry);
        start = end;
    }
    let text = Value::Object(entries).to_string();
    let length = text.len().next_multiple_of(8);
    format!("{text:length$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Checkpoint,
        weights::{config::tests::tiny, names},
    };

    fn written(limit: u64, precision: Precision) -> (tempfile::TempDir, Checkpoint) {
        let (folder, model) = (tempfile::tempdir().unwrap(), Checkpoint::random(&tiny(), 3));
        let mut numbers = |tensor: &Spec| model.numbers(&tensor.name);
        write_shards(folder.path(), &names::all(&tiny()), Layout { precision, limit }, &mut numbers).unwrap();
        let config = tiny().to_hf().to_string();
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        (folder, model)
    }

    fn files(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn any_number_of_files_holds_the_same_model() {
        for (limit, count) in [(u64::MAX, 1), (40_000, 3), (1, names::all(&tiny()).len())] {
            let (folder, model) = written(limit, Precision::F32);
            let read = Checkpoint::open(folder.path()).unwrap();
            for Spec { name, .. } in names::all(&tiny()) {
                assert_eq!(read.numbers(&name).unwrap(), model.numbers(&name).unwrap(), "{name}");
            }
            let shards = files(folder.path()).into_iter().filter(|name| name.ends_with(".safetensors")).count();
            assert_eq!(shards, count, "{:?}", files(folder.path()));
        }
    }

    #[test]
    fn half_precision_rounds_to_the_nearest() {
        for (precision, bound) in [(Precision::Bf16, 1.0 / 256.0), (Precision::F16, 1.0 / 2048.0)] {
            let (folder, model) = written(u64::MAX, precision);
            let read = Checkpoint::open(folder.path()).unwrap();
            let name = "model.layers.1.mlp.up_proj.weight";
            let pairs = read.numbers(name).unwrap().into_iter().zip(model.numbers(name).unwrap());
            for (rounded, value) in pairs {
                assert!((rounded - value).abs() <= bound * value.abs().max(1e-4), "{rounded} {value}");
            }
        }
    }

    #[test]
    fn a_failure_leaves_no_file_behind_that_looks_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut numbers = |_: &Spec| Ok(vec![0.0; 3]);
        let layout = Layout { precision: Precision::F32, limit: u64::MAX };
        let error = write_shards(folder.path(), &names::all(&tiny()), layout, &mut numbers).unwrap_err();
        assert!(error.to_string().contains("model.embed_tokens.weight came with 3 numbers"), "{error}");
        assert!(!folder.path().join("model.safetensors").exists());
    }
}
