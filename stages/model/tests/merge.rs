//! A merged model says what base and adapter say together, whatever the family, and opens like any other.

use burn::tensor::{Device, Tensor, TensorData};
use flow_model::{
    Adapter, AdapterKind, Checkpoint, Family, LoraConfig, ModelConfig, Network, Padding, Wiring, generator,
    merge::merge,
    rng::Rng,
    weights::{Precision, save_folder},
};

const PROMPT: &[u32] = &[1, 2, 3];

/// An adapter of either kind whose matrices all matter; lengths are those of the base, and some more.
fn adapter(network: &Network, kind: AdapterKind) -> Adapter {
    let targets = network.config().family.projections().iter().copied().collect();
    let mut rng = Rng::new(9);
    Adapter::fresh(LoraConfig { rank: 4, alpha: 8.0, targets, kind, ..LoraConfig::default() }, network, 9).map(|path, matrix| {
        let dims = matrix.dims();
        let data: Vec<f32> = (0..dims[0] * dims[1]).map(|_| rng.symmetric(0.2)).collect();
        let drawn = Tensor::from_data(TensorData::new(data, dims), &Device::flex());
        if path.ends_with("lora_magnitude_vector") { matrix * (drawn + 1.1) } else { drawn }
    })
}

#[test]
fn merged_models_say_what_base_and_adapter_say() {
    let falcon = ModelConfig::tiny(Family::Falcon);
    let mut configs: Vec<ModelConfig> = Family::ALL.map(ModelConfig::tiny).into();
    configs.push(ModelConfig { wiring: Wiring::Parallel, kv_heads: 1, tied_head: true, ..falcon });
    let kinds = [AdapterKind::Lora, AdapterKind::Dora];
    for (config, kind) in configs.into_iter().flat_map(|config| kinds.map(|kind| (config.clone(), kind))) {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        save_folder(&Checkpoint::random(&config, 3), &path("base")).unwrap();
        let base = Checkpoint::open(&path("base")).unwrap();
        let network = Network::from_checkpoint(&base, &Device::flex()).unwrap();
        let adapter = adapter(&network, kind);
        adapter.save(&path("adapter"), "base").unwrap();
        learned_and_decoded_alike(&network, &adapter, &generator::logits(&base, Some(&path("adapter")), PROMPT).unwrap());
        for (precision, bound) in [(Precision::F32, 5e-6), (Precision::F16, 1e-2), (Precision::Bf16, 5e-2)] {
            let out = path(&format!("{precision:?}"));
            let fidelity = merge(&base, &path("adapter"), &out, precision).unwrap();
            assert!(fidelity.effect > 0.1, "{config:?}: the adapter moves logits by {} only", fidelity.effect);
            assert!(fidelity.distance <= bound * fidelity.largest.max(1.0), "{precision:?} {config:?}: {fidelity:?}");
            let read = Checkpoint::open(&out).unwrap();
            assert_eq!(read.config(), &config);
            assert!(generator::logits(&read, None, PROMPT).unwrap().iter().all(|logit| logit.is_finite()));
        }
    }
}

fn learned_and_decoded_alike(network: &Network, adapter: &Adapter, decoded: &[f32]) {
    let (ids, cx) = network.batch(&[PROMPT], Padding::Right);
    let learned = network.logits(ids, &cx, Some(adapter)).try_into_vec_as::<f32>().expect("floats");
    assert_eq!(learned.len(), decoded.len());
    let furthest = learned.iter().zip(decoded).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(furthest <= 5e-6, "{:?}: {furthest:e} apart", network.config());
}
