//! Holds a model folder that `tests/referees/families.py` made against what transformers said about it.

use std::{collections::BTreeMap, fs, path::Path};

use burn::tensor::{Device, Int, Tensor, TensorData, activation::log_softmax};
use flow_model::{
    Checkpoint, Context, ModelConfig, Network, Padding, generator,
    network::{Weight, rope_tables},
    weights::save_folder,
};
use safetensors::{Dtype, SafeTensors};

/// Largest difference of a logit.
const LOGITS: f32 = 5e-6;
/// Largest difference of a gradient from float64's, as a share of its length.
const GRADIENTS: f64 = 1e-5;
/// Largest difference of a cosine or sine where the angle is small, and what each turn may add: an angle is rounded.
const ANGLES: f32 = 2e-7;
const PROMPTS: usize = 3;

/// Numbers by name, with their shapes.
type Numbers = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Holds one folder against its `expected.safetensors`.
pub(crate) fn hold(folder: &Path) {
    let what = folder.file_name().expect("a name").to_string_lossy().into_owned();
    let expected = read(&folder.join("expected.safetensors"));
    let checkpoint = Checkpoint::open(folder).unwrap_or_else(|error| panic!("{what}: {error}"));
    let network = Network::from_checkpoint(&checkpoint, &Device::flex()).expect("a whole checkpoint");
    let prompts: Vec<Vec<u32>> = (0..PROMPTS).map(|number| ids(&expected, number)).collect();
    for (number, prompt) in prompts.iter().enumerate() {
        let (_, want) = &expected[&format!("logits.{number}")];
        let decoder = generator::logits(&checkpoint, None, prompt).expect("decodes");
        for (who, found) in [("network", logits(&network, prompt)), ("decoder", decoder)] {
            let distance = furthest(&found, want);
            assert!(distance <= LOGITS, "{what}: the {who}'s logits of {} tokens are {distance:e} apart", prompt.len());
        }
    }
    gradients(&what, &network, prompts.last().expect("prompts"), &expected);
    padding(&what, &network, &prompts);
    packing(&what, &network, &prompts);
    angles(&what, network.config(), &expected);
    round_trip(&what, &checkpoint, folder);
}

fn read(path: &Path) -> Numbers {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let numbers = |view: &safetensors::tensor::TensorView<'_>| match view.dtype() {
        Dtype::F32 => view.data().as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)).collect(),
        Dtype::I64 => view.data().as_chunks().0.iter().map(|word| small(i64::from_le_bytes(*word))).collect(),
        other => panic!("the referee writes no {other:?}"),
    };
    tensors.tensors().iter().map(|(name, view)| (name.clone(), (view.shape().to_vec(), numbers(view)))).collect()
}

/// Ids and positions of these models, which every format holds exactly.
fn small(number: i64) -> f32 {
    f32::from(i16::try_from(number).expect("a small number"))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ids are small whole numbers")]
fn ids(expected: &Numbers, number: usize) -> Vec<u32> {
    expected[&format!("ids.{number}")].1.iter().map(|id| *id as u32).collect()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.inner().try_into_vec_as::<f32>().expect("floats")
}

fn logits(network: &Network, prompt: &[u32]) -> Vec<f32> {
    let (ids, cx) = network.batch(&[prompt], Padding::Right);
    values(network.logits(ids, &cx, None))
}

/// The largest difference of two lists of the same length; not a number where one is none.
fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let larger = |largest: f32, one: f32| if one > largest || one.is_nan() { one } else { largest };
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, larger)
}

/// The gradient of the mean next-token loss with respect to every parameter, against float64's.
fn gradients(what: &str, network: &Network, prompt: &[u32], expected: &Numbers) {
    let tracked = network.tracked();
    let (input, cx) = tracked.batch(&[prompt], Padding::Right);
    let logits = tracked.logits(input, &cx, None);
    let [_, width, vocabulary] = logits.dims();
    let targets: Vec<i64> = prompt.iter().skip(1).map(|id| i64::from(*id)).collect();
    let count = targets.len();
    let targets = Tensor::<2, Int>::from_data(TensorData::new(targets, [count, 1]), &Device::flex());
    let likely = log_softmax(logits.reshape([width, vocabulary]).narrow(0, 0, count), 1);
    let graph = likely.gather(1, targets).mean().neg().backward();
    let mut seen = 0;
    for (name, weight) in tracked.weights() {
        let (shape, want) = expected.get(&format!("gradient.{name}")).unwrap_or_else(|| panic!("{what}: {name} is ours alone"));
        let found = match weight {
            Weight::Vector(vector) => values(vector.grad(&graph).expect("a leaf")),
            Weight::Matrix(matrix) => {
                let gradient = Tensor::from_inner(matrix.grad(&graph).expect("a leaf"));
                // Projections lie the other way round here.
                values(if gradient.dims()[..] == shape[..] && !projects(&name) { gradient } else { gradient.transpose() })
            }
        };
        let beside = beside(&name).map_or(0.0, |weight| length(&expected[&format!("gradient.{weight}")].1));
        let (distance, bound) = (apart(&found, want), GRADIENTS * (length(want) + beside));
        assert!(distance <= bound, "{what}: the gradient of {name} is {distance:e} apart, of {bound:e} at most");
        seen += 1;
    }
    let theirs = expected.keys().filter(|name| name.starts_with("gradient.")).count();
    assert_eq!(seen, theirs, "{what}: parameters with a gradient");
}

/// Whether a matrix is a projection: all but the tables of tokens are.
fn projects(name: &str) -> bool {
    !name.contains("embed") && !name.starts_with("lm_head")
}

/// The weight beside a bias of keys, whose length counts with that of the bias. Attention ignores what is added to all keys alike,
/// so that the bias's gradient is what rotation leaves of terms that cancel: rounding is a share of those, as it is in the weight's.
fn beside(name: &str) -> Option<String> {
    name.strip_suffix("k_proj.bias").map(|path| format!("{path}k_proj.weight"))
}

fn length(numbers: &[f32]) -> f64 {
    numbers.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt()
}

/// The length of the difference.
fn apart(ours: &[f32], theirs: &[f32]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt()
}

/// Real tokens see the same network on either side of padding.
fn padding(what: &str, network: &Network, prompts: &[Vec<u32>]) {
    let rows: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
    let width = rows.iter().map(|row| row.len()).max().expect("rows");
    for padding in [Padding::Right, Padding::Left] {
        let (ids, cx) = network.batch(&rows, padding);
        let together = network.logits(ids, &cx, None);
        for (index, row) in rows.iter().enumerate() {
            let own = together.clone().narrow(0, index, 1).narrow(1, padding.start(row.len(), width), row.len());
            let distance = furthest(&values(own), &logits(network, row));
            assert!(distance <= LOGITS, "{what}: {} tokens padded {padding:?} are {distance:e} apart", row.len());
        }
    }
}

/// Packed documents see the same network as each alone, and none of them sees another.
fn packing(what: &str, network: &Network, prompts: &[Vec<u32>]) {
    let lengths: Vec<usize> = prompts.iter().map(Vec::len).collect();
    let ids: Vec<i64> = prompts.concat().into_iter().map(i64::from).collect();
    let shape = [1, ids.len()];
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, shape), &Device::flex());
    let separate = prompts.iter().flat_map(|prompt| logits(network, prompt)).collect::<Vec<_>>();
    let together = |network: &Network, cx: &Context| network.logits(ids.clone(), cx, None);
    let distance = furthest(&values(together(network, &network.documents(&lengths))), &separate);
    assert!(distance <= LOGITS, "{what}: packed logits are {distance:e} apart");
    let leaked = furthest(&values(together(network, &network.context(&[shape[1]], Padding::Right))), &separate);
    assert!(leaked > 100.0 * LOGITS, "{what}: documents that see each other are only {leaked:e} apart");

    let tracked = network.tracked();
    let packed = probe(together(&tracked, &tracked.documents(&lengths)));
    let rows = prompts.iter().scan(0, |start, prompt| Some((std::mem::replace(start, *start + prompt.len()), prompt)));
    let alone = rows.map(|(start, prompt)| {
        let (ids, cx) = tracked.batch(&[prompt], Padding::Right);
        probe_from(tracked.logits(ids, &cx, None), start)
    });
    let alone = alone.reduce(|sum, more| sum + more).expect("prompts");
    let (packed, alone) = (packed.backward(), alone.backward());
    let mut found = BTreeMap::new();
    for (name, weight) in tracked.weights() {
        let both = match weight {
            Weight::Vector(vector) => {
                (values(vector.grad(&packed).expect("a leaf")), values(vector.grad(&alone).expect("a leaf")))
            }
            Weight::Matrix(matrix) => {
                (values(matrix.grad(&packed).expect("a leaf")), values(matrix.grad(&alone).expect("a leaf")))
            }
        };
        found.insert(name, both);
    }
    for (name, (ours, theirs)) in &found {
        let distance = apart(ours, theirs);
        let bound = GRADIENTS * (length(theirs) + beside(name).map_or(0.0, |weight| length(&found[&weight].1)));
        assert!(distance <= bound, "{what}: the packed gradient of {name} is {distance:e} apart, of {bound:e} at most");
    }
}

/// A sum of all logits with other factors for every position and token, so that no gradient cancels out.
fn probe(logits: Tensor<3>) -> Tensor<1> {
    probe_from(logits, 0)
}

/// [`probe`] of logits whose first position counts as `start`.
fn probe_from(logits: Tensor<3>, start: usize) -> Tensor<1> {
    let [_, width, vocabulary] = logits.dims();
    let factor = |at: usize| f32::from(u8::try_from((at * 2_654_435_761) >> 7 & 0xff).expect("eight bits")) / 128.0 - 1.0;
    let factors: Vec<f32> = (start * vocabulary..(start + width) * vocabulary).map(factor).collect();
    (logits * Tensor::from_data(TensorData::new(factors, [1, width, vocabulary]), &Device::flex())).sum()
}

/// Rotary tables at the start, after a reset, at the end, and far beyond.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positions are small whole numbers")]
fn angles(what: &str, config: &ModelConfig, expected: &Numbers) {
    let positions: Vec<usize> = expected["positions"].1.iter().map(|position| *position as usize).collect();
    let (cos, mut sin) = rope_tables(config, &positions);
    // Ours holds the sign of the rotation.
    for row in sin.chunks_mut(config.head_dim) {
        for value in row.iter_mut().take(config.head_dim / 2) {
            *value = -*value;
        }
    }
    for (name, found) in [("cos", cos), ("sin", sin)] {
        let rows = found.chunks(config.head_dim).zip(expected[name].1.chunks(config.head_dim));
        for ((found, want), position) in rows.zip(&expected["positions"].1) {
            let (distance, bound) = (furthest(found, want), ANGLES * (2.0 + position));
            assert!(distance <= bound, "{what}: {name} at {position} is {distance:e} apart");
        }
    }
}

/// What is written has the names, shapes, and bytes of what was read, and opens as the same network.
fn round_trip(what: &str, checkpoint: &Checkpoint, folder: &Path) {
    let again = tempfile::tempdir().expect("a temporary folder");
    save_folder(checkpoint, again.path()).expect("saved");
    let tensors = |folder: &Path| {
        let bytes = fs::read(folder.join("model.safetensors")).expect("reads");
        let file = SafeTensors::deserialize(&bytes).expect("safetensors");
        let owned = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
            (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec()))
        };
        file.tensors().into_iter().map(owned).collect::<BTreeMap<_, _>>()
    };
    assert!(tensors(folder) == tensors(again.path()), "{what}: other tensors were written than read");
    assert_eq!(Checkpoint::open(again.path()).expect("opens").config(), checkpoint.config(), "{what}");
}
