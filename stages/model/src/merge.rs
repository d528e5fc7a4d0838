//! Lays an adapter into its base for good: a Hugging Face folder that anything loads without knowing of adapters.
//!
//! Tensors go through memory one at a time. What was written is opened again and must say what base and adapter say together.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    Checkpoint, ModelError,
    adapter::StoredAdapter,
    generator,
    weights::{Layout, Precision, Source, Spec, names, write_atomic, write_shards},
};

/// Bytes of one file: what the field's own tools write.
const SHARD: u64 = 5_000_000_000;
/// Tokens of the text that both models are asked to continue.
const PROBE: usize = 16;
const CONFIG: &str = "config.json";
const GENERATION: &str = "generation_config.json";

/// How near the merged model is to base and adapter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fidelity {
    /// The largest difference of a logit.
    pub distance: f32,
    /// The largest change of a logit that the adapter makes.
    pub effect: f32,
    /// The largest logit.
    pub largest: f32,
}

/// Writes base and adapter as one model, without a tokenizer, and compares it.
pub fn merge(base: &Checkpoint, adapter: &Path, out: &Path, precision: Precision) -> Result<Fidelity, ModelError> {
    let stored = StoredAdapter::open(adapter, base.config())?;
    let layout = Layout { precision, limit: SHARD };
    write_shards(out, &names::all(base.config()), layout, &mut |tensor| merged(base, &stored, tensor))?;
    write_config(base, out, precision)?;
    compare(base, adapter, out, precision)
}

/// Returns a tensor of the base with the product of its pair added, if it has one.
fn merged(base: &Checkpoint, adapter: &StoredAdapter, tensor: &Spec) -> Result<Vec<f32>, ModelError> {
    let values = base.numbers(&tensor.name)?;
    Ok(match adapter.pair(&tensor.name) {
        Some(pair) => pair.laid_over(values),
        None => values,
    })
}

/// Writes the base's own configuration under the new number format; a GGUF file has none, so it is described.
fn write_config(base: &Checkpoint, out: &Path, precision: Precision) -> Result<(), ModelError> {
    let mut config = match base.source() {
        Source::Folder if base.path().join(CONFIG).exists() => read(&base.path().join(CONFIG))?,
        Source::Gguf(_) | Source::Folder => base.config().to_hf(),
    };
    let key = if config.get("dtype").is_some() { "dtype" } else { "torch_dtype" };
    config[key] = json!(precision.in_config());
    write_atomic(&out.join(CONFIG), format!("{config:#}\n").as_bytes())?;
    let generation = base.path().join(GENERATION);
    if generation.exists() {
        write_atomic(&out.join(GENERATION), format!("{:#}\n", read(&generation)?).as_bytes())?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Value, ModelError> {
    let bytes = std::fs::read(path).map_err(|source| ModelError::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes).map_err(|error| ModelError::format(path, error.to_string()))
}

/// Opens what was written and holds it against base and adapter.
fn compare(base: &Checkpoint, adapter: &Path, out: &Path, precision: Precision) -> Result<Fidelity, ModelError> {
    let config = base.config();
    let count = PROBE.min(config.context);
    let probe: Vec<u32> = (0..count).filter_map(|index| u32::try_from((index * 7919 + 13) % config.vocab_size).ok()).collect();
    let want = generator::logits(base, Some(adapter), &probe)?;
    let found = generator::logits(&Checkpoint::open(out)?, None, &probe)?;
    let plain = generator::logits(base, None, &probe)?;
    let fidelity = Fidelity {
        distance: furthest(&found, &want),
        effect: furthest(&plain, &want),
        largest: want.iter().fold(0.0, |largest, logit| logit.abs().max(largest)),
    };
    let bound = tolerance(precision) * fidelity.largest.max(1.0);
    if fidelity.distance <= bound {
        return Ok(fidelity);
    }
    let reason = format!("its logits are {:e} away from those of base and adapter, more than {bound:e}", fidelity.distance);
    Err(ModelError::format(out, reason))
}

/// What rounding every weight may move a logit by, as a share of the largest one.
fn tolerance(precision: Precision) -> f32 {
    match precision {
        Precision::F32 => 1e-4,
        Precision::F16 => 1e-2,
        Precision::Bf16 => 5e-2,
    }
}

/// The largest difference; not a number where one is none.
fn furthest(a: &[f32], b: &[f32]) -> f32 {
    let larger = |largest: f32, one: f32| if one > largest || one.is_nan() { one } else { largest };
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, larger)
}
