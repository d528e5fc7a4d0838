//! Loss and gradients of the rows that go through the network together.
//!
//! Every block has its own autodiff graph, joined by hand: the gradient that leaves one block enters the block below as the
//! factor of a sum. A block may thus keep its activations or recompute them, with the same bits either way, and the head,
//! which has the largest tensors, needs no graph at all.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Adapter, Context, Dropout, LayerAdapter, Network,
    batch::Batch,
    loss::{Want, cross_entropy},
    network::Layer,
    optimizer::Gradients,
};

/// What happens to a block's activations between the forward and the backward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Recompute {
    /// They stay in memory: fastest.
    #[default]
    None,
    /// They are dropped and computed again, a block at a time: for rows that would not fit otherwise.
    Block,
}

/// How one pass treats the network.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// The factor on the summed loss before it is differentiated.
    pub factor: f64,
    /// Dropout of this pass.
    pub dropout: Option<Dropout>,
    /// What happens to activations.
    pub recompute: Recompute,
}

/// Returns the summed loss of a batch and adds its gradients. `adapter` is [`Adapter::tracked`].
pub fn backward(network: &Network, adapter: &Adapter, (batch, pass): (&Batch, Pass), gradients: &mut Gradients) -> f64 {
    let mut cx = batch.context(network);
    if let Some(dropout) = pass.dropout {
        cx = cx.with_dropout(dropout);
    }
    let mut hidden = network.embed(batch.ids.clone());
    let mut blocks = Vec::with_capacity(network.layers().len());
    for (layer, pairs) in network.layers().iter().zip(adapter.layers()) {
        let block = Block { layer, pairs, cx: &cx };
        let (output, kept) = block.forward(hidden, pass.recompute);
        blocks.push((block, kept));
        hidden = output;
    }
    let (loss, mut upstream) = head(network, hidden, batch, pass.factor);
    for (block, kept) in blocks.into_iter().rev() {
        upstream = block.backward(kept, upstream, gradients);
    }
    loss
}

/// Returns the negative log-likelihood of every target of a batch, row by row, without gradients.
pub fn losses(network: &Network, adapter: Option<&Adapter>, batch: &Batch) -> Vec<f32> {
    let cx = batch.context(network);
    let mut hidden = network.embed(batch.ids.clone());
    for (index, layer) in network.layers().iter().enumerate() {
        hidden = layer.forward(hidden, &cx, adapter.map(|adapter| adapter.layer(index)));
    }
    let states = supervised_states(network, hidden, batch);
    cross_entropy(&states, &network.head(), &batch.targets, Want::Loss).nll
}

/// Normalizes the states at supervised positions, which are all the head ever sees: `[targets, hidden]`.
fn supervised_states(network: &Network, hidden: Tensor<3>, batch: &Batch) -> Tensor<2> {
    let [rows, width, inner] = hidden.dims();
    let picked = hidden.reshape([rows * width, inner]).select(0, batch.positions.clone());
    network.final_norm(picked.unsqueeze()).reshape([batch.targets.len(), inner])
}

/// Returns the summed loss and the gradient with respect to the last block's output.
fn head(network: &Network, hidden: Tensor<3>, batch: &Batch, factor: f64) -> (f64, Tensor<3>) {
    let leaf = hidden.autodiff().require_grad();
    let states = supervised_states(network, leaf.clone(), batch);
    let loss = cross_entropy(&states.clone().inner(), &network.head(), &batch.targets, Want::Gradient(factor));
    let sum = loss.sum();
    let upstream = loss.gradient.expect("a batch has at least one target");
    let mut graph = (states * upstream).sum().backward();
    (sum, leaf.grad_remove(&mut graph).expect("the states depend on the hidden states"))
}

/// One block of the network with its adapter.
struct Block<'a> {
    layer: &'a Layer,
    pairs: &'a LayerAdapter,
    cx: &'a Context,
}

/// What a block keeps for the backward pass.
struct Kept {
    input: Tensor<3>,
    /// In one graph with the input, unless it is to be computed again.
    output: Option<Tensor<3>>,
}

impl Block<'_> {
    fn forward(&self, input: Tensor<3>, recompute: Recompute) -> (Tensor<3>, Kept) {
        let (leaf, output) = self.graph(input.clone());
        let plain = output.clone().inner();
        match recompute {
            Recompute::None => (plain, Kept { input: leaf, output: Some(output) }),
            Recompute::Block => (plain, Kept { input, output: None }),
        }
    }

    fn graph(&self, input: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        let leaf = input.autodiff().require_grad();
        let output = self.layer.forward(leaf.clone(), self.cx, Some(self.pairs));
        (leaf, output)
    }

    /// Returns the gradient with respect to the block's input and adds those of its pairs.
    fn backward(&self, kept: Kept, upstream: Tensor<3>, gradients: &mut Gradients) -> Tensor<3> {
        let (leaf, output) = match kept.output {
            Some(output) => (kept.input, output),
            None => self.graph(kept.input),
        };
        let mut graph = (output * upstream).sum().backward();
        for (name, matrix) in self.pairs.parameters() {
            if let Some(gradient) = matrix.grad_remove(&mut graph) {
                gradients.add(name, gradient);
            }
        }
        leaf.grad_remove(&mut graph).expect("a block's output depends on its input")
    }
}
