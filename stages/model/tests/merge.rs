//! A merged model says what base and adapter say together, whatever the family, and opens like any other.

use burn::tensor::{Device, Tensor, TensorData};
use flow_model::{
    Adapter, Checkpoint, Family, LoraConfig, ModelConfig, Wiring, generator,
    merge::merge,
    rng::Rng,
    weights::{Precision, save_folder},
};

fn adapter(model: &ModelConfig) -> Adapter {
    let targets = model.family.projections().iter().copied().collect();
    let mut rng = Rng::new(9);
    Adapter::init(LoraConfig { rank: 4, alpha: 8.0, dropout: 0.0, targets }, model, 9, &Device::flex()).map(|_, matrix| {
        let [rows, columns] = matrix.dims();
        let data: Vec<f32> = (0..rows * columns).map(|_| rng.symmetric(0.2)).collect();
        Tensor::from_data(TensorData::new(data, [rows, columns]), &Device::flex())
    })
}

#[test]
fn merged_models_say_what_base_and_adapter_say() {
    let falcon = ModelConfig::tiny(Family::Falcon);
    let mut configs: Vec<ModelConfig> = Family::ALL.map(ModelConfig::tiny).into();
    configs.push(ModelConfig { wiring: Wiring::Parallel, kv_heads: 1, tied_head: true, ..falcon });
    for config in configs {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        save_folder(&Checkpoint::random(&config, 3), &path("base")).unwrap();
        adapter(&config).save(&path("adapter"), "base").unwrap();
        let base = Checkpoint::open(&path("base")).unwrap();
        for (precision, bound) in [(Precision::F32, 5e-6), (Precision::F16, 1e-2), (Precision::Bf16, 5e-2)] {
            let out = path(&format!("{precision:?}"));
            let fidelity = merge(&base, &path("adapter"), &out, precision).unwrap();
            assert!(fidelity.effect > 0.1, "{config:?}: the adapter moves logits by {} only", fidelity.effect);
            assert!(fidelity.distance <= bound * fidelity.largest.max(1.0), "{precision:?} {config:?}: {fidelity:?}");
            let read = Checkpoint::open(&out).unwrap();
            assert_eq!(read.config(), &config);
            assert!(generator::logits(&read, None, &[1, 2, 3]).unwrap().iter().all(|logit| logit.is_finite()));
        }
    }
}
