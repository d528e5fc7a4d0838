//! The differentiable network against the decoder, against itself under padding, and against a model it was merged into.

use burn::tensor::{Device, Int, Tensor, TensorData};
use flow_model::{
    Adapter, Checkpoint, Context, Dropout, Family, LoraConfig, ModelConfig, Network, Padding, Wiring, generator,
    weights::save_folder,
};

fn config() -> ModelConfig {
    ModelConfig { layers: 3, ..ModelConfig::tiny(Family::Llama) }
}

/// One network of every kind that runs.
fn every() -> Vec<ModelConfig> {
    let falcon = ModelConfig::tiny(Family::Falcon);
    let mut found: Vec<ModelConfig> = Family::ALL.map(ModelConfig::tiny).into();
    found.extend([
        ModelConfig { window: Some(5), ..ModelConfig::tiny(Family::Mistral) },
        ModelConfig { wiring: Wiring::Parallel, kv_heads: 1, tied_head: true, ..falcon.clone() },
        ModelConfig { wiring: Wiring::Sequential, biases: Family::Falcon.projections().iter().copied().collect(), ..falcon },
    ]);
    found
}

fn network(checkpoint: &Checkpoint) -> Network {
    Network::from_checkpoint(checkpoint, &Device::flex()).expect("a whole checkpoint")
}

fn row(length: u32) -> Vec<u32> {
    (0..length).map(|index| (7 + index * 31) % 97).collect()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.inner().try_into_vec_as::<f32>().expect("floats")
}

fn logits(network: &Network, tokens: &[u32], adapter: Option<&Adapter>) -> Vec<f32> {
    let (ids, cx) = network.batch(&[tokens], Padding::Right);
    values(network.logits(ids, &cx, adapter))
}

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |largest, (a, b)| largest.max((a - b).abs()))
}

fn lora(model: &ModelConfig) -> LoraConfig {
    let targets = model.family.projections().iter().copied().collect();
    LoraConfig { rank: 4, alpha: 8.0, targets, ..LoraConfig::default() }
}

/// An adapter that does something: both matrices are random.
fn adapter(model: &ModelConfig) -> Adapter {
    let mut rng = flow_model::rng::Rng::new(9);
    Adapter::init(lora(model), model, 9, &Device::flex()).map(|_, matrix| {
        let [rows, columns] = matrix.dims();
        let data: Vec<f32> = (0..rows * columns).map(|_| rng.symmetric(0.3)).collect();
        Tensor::from_data(TensorData::new(data, [rows, columns]), &Device::flex())
    })
}

#[test]
fn the_decoder_and_the_network_agree() {
    for config in every() {
        let checkpoint = Checkpoint::random(&config, 1);
        let tokens = row(40);
        let whole = logits(&network(&checkpoint), &tokens, None);
        let stepwise = generator::logits(&checkpoint, None, &tokens).expect("valid");
        assert!(furthest(&whole, &stepwise) < 1e-5, "{config:?}: {}", furthest(&whole, &stepwise));
    }
}

#[test]
fn the_decoder_and_the_network_agree_under_an_adapter() {
    for config in every() {
        let (checkpoint, folder) = (Checkpoint::random(&config, 2), tempfile::tempdir().expect("a temporary folder"));
        adapter(&config).save(folder.path(), "base").expect("saved");
        let loaded = Adapter::load(folder.path(), &config, &Device::flex()).expect("valid");
        let tokens = row(20);
        let network = network(&checkpoint);
        let whole = logits(&network, &tokens, Some(&loaded));
        let stepwise = generator::logits(&checkpoint, Some(folder.path()), &tokens).expect("valid");
        assert!(furthest(&whole, &stepwise) < 2e-5, "{config:?}: {}", furthest(&whole, &stepwise));
        assert!(furthest(&whole, &logits(&network, &tokens, None)) > 0.1, "{config:?}: the adapter does something");
    }
}

#[test]
fn a_window_hides_what_lies_before_it() {
    let with = |window| {
        let config = ModelConfig { layers: 1, window, ..ModelConfig::tiny(Family::Mistral) };
        logits(&network(&Checkpoint::random(&config, 3)), &row(12), None)
    };
    let (all, some) = (with(None), with(Some(5)));
    assert!(furthest(&all[..5 * 97], &some[..5 * 97]) < 1e-6, "five tokens see each other");
    assert!(furthest(&all[5 * 97..6 * 97], &some[5 * 97..6 * 97]) > 1e-3, "the sixth does not see the first");
}

#[test]
fn a_tied_head_is_the_embedding() {
    let checkpoint = Checkpoint::random(&ModelConfig { tied_head: true, ..config() }, 3);
    let whole = logits(&network(&checkpoint), &row(9), None);
    assert!(furthest(&whole, &generator::logits(&checkpoint, None, &row(9)).expect("valid")) < 1e-5);
}

#[test]
fn padding_changes_no_real_token() {
    let rows = [row(5), row(17), row(11)];
    let slices: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
    for config in every() {
        let (network, adapter) = (network(&Checkpoint::random(&config, 4)), adapter(&config));
        for padding in [Padding::Right, Padding::Left] {
            let (ids, cx) = network.batch(&slices, padding);
            let together = network.logits(ids, &cx, Some(&adapter));
            for (index, row) in rows.iter().enumerate() {
                let start = padding.start(row.len(), 17);
                let own = together.clone().narrow(0, index, 1).narrow(1, start, row.len());
                let alone = logits(&network, row, Some(&adapter));
                assert!(furthest(&values(own), &alone) < 5e-6, "{padding:?} {} {config:?}", row.len());
            }
        }
    }
}

#[test]
fn a_fresh_adapter_changes_nothing() {
    let network = network(&Checkpoint::random(&config(), 5));
    let fresh = Adapter::init(lora(&config()), &config(), 1, &Device::flex());
    assert_eq!(logits(&network, &row(12), Some(&fresh)), logits(&network, &row(12), None));
}

#[test]
fn the_same_seed_makes_the_same_adapter() {
    let read = |seed| {
        let adapter = Adapter::init(lora(&config()), &config(), seed, &Device::flex());
        adapter.parameters().flat_map(|(_, matrix)| values(matrix.clone())).collect::<Vec<f32>>()
    };
    assert_eq!(read(1), read(1));
    assert_ne!(read(1), read(2));
}

#[test]
fn a_saved_random_model_loads_the_same() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let checkpoint = Checkpoint::random(&config(), 6);
    save_folder(&checkpoint, folder.path()).expect("saved");
    let read = Network::load(folder.path(), &Device::flex()).expect("valid");
    assert_eq!(logits(&read, &row(8), None), logits(&network(&checkpoint), &row(8), None));
}

/// Runs the blocks with a context and sums the last hidden states.
fn run(network: &Network, cx: &Context, ids: Tensor<2, Int>, adapter: &Adapter) -> Tensor<1> {
    network.forward(ids, cx, Some(adapter)).sum()
}

#[test]
fn every_adapter_matrix_gets_the_right_gradient() {
    for config in every() {
        slopes(&config);
    }
}

/// Holds the largest entry of every matrix's gradient against a finite difference.
fn slopes(config: &ModelConfig) {
    let network = network(&Checkpoint::random(config, 7));
    let (ids, cx) = network.batch(&[&row(6), &row(9)], Padding::Right);
    let tracked = adapter(config).tracked();
    let grads = run(&network, &cx, ids.clone(), &tracked).backward();
    for (path, matrix) in tracked.parameters() {
        let gradient = values(matrix.grad(&grads).unwrap_or_else(|| panic!("{path} has no gradient")));
        let largest = (0..gradient.len()).max_by(|a, b| gradient[*a].abs().total_cmp(&gradient[*b].abs())).expect("not empty");
        let moved = |by: f32| {
            let changed = tracked.detached().map(|other, value| {
                if other != path {
                    return value;
                }
                let dims = value.dims();
                let mut data = values(value);
                data[largest] += by;
                Tensor::from_data(TensorData::new(data, dims), &Device::flex())
            });
            values(run(&network, &cx, ids.clone(), &changed))[0]
        };
        let slope = (moved(5e-3) - moved(-5e-3)) / 1e-2;
        let found = gradient[largest];
        assert!((slope - found).abs() < 0.02 * found.abs().max(0.1), "{config:?} {path}: {found} against {slope}");
    }
}

#[test]
fn blocks_one_by_one_give_the_gradients_of_the_whole_graph() {
    for config in every() {
        block_by_block(&config);
    }
}

fn block_by_block(config: &ModelConfig) {
    let network = network(&Checkpoint::random(config, 8));
    let (ids, cx) = network.batch(&[&row(6), &row(9)], Padding::Right);
    let whole = adapter(config).tracked();
    let expected = run(&network, &cx, ids.clone(), &whole).backward();
    let plain = adapter(config);
    let mut hidden = network.embed(ids);
    let mut inputs = Vec::new();
    for (index, layer) in network.layers().iter().enumerate() {
        inputs.push(hidden.clone());
        hidden = layer.forward(hidden, &cx, Some(plain.layer(index)));
    }
    let top = hidden.autodiff().require_grad();
    let mut grads = network.final_norm(top.clone()).sum().backward();
    let mut above = top.grad_remove(&mut grads).expect("a leaf");
    for (index, input) in inputs.into_iter().enumerate().rev() {
        let (tracked, input) = (plain.tracked(), input.autodiff().require_grad());
        let out = network.layers()[index].forward(input.clone(), &cx, Some(tracked.layer(index)));
        let mut grads = (out * above).sum().backward();
        above = input.grad_remove(&mut grads).expect("a leaf");
        for (target, pair) in tracked.layer(index).pairs() {
            let theirs = &whole.layer(index).pairs()[target];
            for (ours, theirs) in [(&pair.a, &theirs.a), (&pair.b, &theirs.b)] {
                let ours = values(ours.grad(&grads).expect("a leaf"));
                let theirs = values(theirs.grad(&expected).expect("a leaf"));
                let size = theirs.iter().fold(1e-3_f32, |size, value| size.max(value.abs()));
                assert!(furthest(&ours, &theirs) < 1e-5 * size, "{index} {target:?}");
            }
        }
    }
}

#[test]
fn dropout_is_a_function_of_its_seed() {
    let network = network(&Checkpoint::random(&config(), 10));
    let adapter = adapter(&config());
    let run = |seed: u64, rate: f32| {
        let (ids, cx) = network.batch(&[&row(16)], Padding::Right);
        values(network.logits(ids, &cx.with_dropout(Dropout { rate, seed }), Some(&adapter)))
    };
    assert_eq!(run(1, 0.3), run(1, 0.3));
    assert_ne!(run(1, 0.3), run(2, 0.3));
    assert_eq!(run(1, 0.0), logits(&network, &row(16), Some(&adapter)));
}
