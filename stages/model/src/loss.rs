//! Cross-entropy of the language-model head, with its gradient in closed form.
//!
//! Logits over a vocabulary are the largest tensor of a step, so they live a chunk of positions at a time and never enter an
//! autodiff graph: the gradient with respect to the hidden state is `(softmax - onehot) · head`.

use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};

/// Positions whose logits are alive at once.
const CHUNK: usize = 256;

/// Negative log-likelihoods of the targets.
#[derive(Clone, Debug)]
pub struct HeadLoss {
    /// One number for each position, in order.
    pub nll: Vec<f32>,
    /// Derivative of their sum, times the factor asked for, with respect to the hidden states.
    pub gradient: Option<Tensor<2>>,
}

impl HeadLoss {
    /// The sum over all positions.
    pub fn sum(&self) -> f64 {
        self.nll.iter().copied().map(f64::from).sum()
    }
}

/// What [`cross_entropy`] computes besides the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Want {
    /// Nothing.
    Loss,
    /// The gradient of the summed loss times this factor.
    Gradient(f64),
}

/// Scores `targets` under the distributions that `hidden` (`[n, d]`) and the head (`[vocabulary, d]`) give.
pub fn cross_entropy(hidden: &Tensor<2>, head: &Tensor<2>, targets: &[i32], want: Want) -> HeadLoss {
    let mut nll = Vec::with_capacity(targets.len());
    let mut gradients = Vec::new();
    for (index, chunk) in targets.chunks(CHUNK).enumerate() {
        let states = hidden.clone().narrow(0, index * CHUNK, chunk.len());
        let targets = Tensor::<2, Int>::from_data(TensorData::new(chunk.to_vec(), [chunk.len(), 1]), &hidden.device());
        let logits = states.matmul(head.clone().transpose());
        // Not `softmax`, which adds a row up in one chain of 32-bit sums: over a real vocabulary it is off by 1e-4.
        let peak = logits.clone().max_dim(1);
        let weights = (logits.clone() - peak.clone()).exp();
        let total = weights.clone().sum_dim(1);
        let losses = peak + total.clone().log() - logits.gather(1, targets.clone());
        nll.extend(losses.into_data().iter::<f32>());
        if let Want::Gradient(factor) = want {
            let minus_one = Tensor::full([chunk.len(), 1], -1.0, &hidden.device());
            let residual = (weights / total).scatter(1, targets, minus_one, IndexingUpdateOp::Add);
            gradients.push(residual.matmul(head.clone()).mul_scalar(factor));
        }
    }
    let gradient = (!gradients.is_empty()).then(|| Tensor::cat(gradients, 0));
    HeadLoss { nll, gradient }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tolerance, activation::log_softmax};

    use super::*;
    use crate::rng::Rng;

    fn random(rows: usize, columns: usize, seed: u64) -> Tensor<2> {
        let mut rng = Rng::new(seed);
        let values: Vec<f32> = (0..rows * columns).map(|_| rng.symmetric(1.5)).collect();
        Tensor::from_data(TensorData::new(values, [rows, columns]), &Device::flex())
    }

    fn targets(count: usize, vocabulary: i32) -> Vec<i32> {
        (0..count).map(|i| (i32::try_from(i).unwrap() * 7 + 3) % vocabulary).collect()
    }

    #[test]
    fn loss_and_gradient_equal_the_whole_graph_over_several_chunks() {
        let (hidden, head) = (random(CHUNK + 50, 8, 1), random(40, 8, 2));
        let targets = targets(CHUNK + 50, 40);
        let ours = cross_entropy(&hidden, &head, &targets, Want::Gradient(0.5));

        let leaf = hidden.autodiff().require_grad();
        let picked = Tensor::<2, Int>::from_data(TensorData::new(targets.clone(), [targets.len(), 1]), &Device::flex());
        let logits = leaf.clone().matmul(head.transpose());
        let nll = log_softmax(logits, 1).gather(1, picked).neg();
        let want: f64 = nll.clone().inner().into_data().iter::<f32>().map(f64::from).sum();
        let mut gradients = nll.sum().mul_scalar(0.5).backward();
        let gradient = leaf.grad_remove(&mut gradients).unwrap();

        assert!((ours.sum() - want).abs() / want < 1e-6, "{} is not {want}", ours.sum());
        ours.gradient.unwrap().into_data().assert_approx_eq(&gradient.into_data(), Tolerance::<f32>::absolute(1e-6));
    }

    #[test]
    fn a_wide_vocabulary_of_unlikely_tokens_counts() {
        const OTHERS: u16 = 50_000;
        let mut head = vec![0.0_f32; usize::from(OTHERS) + 1];
        head[0] = 17.0;
        let head = Tensor::from_data(TensorData::new(head, [usize::from(OTHERS) + 1, 1]), &Device::flex());
        let loss = cross_entropy(&Tensor::from_data([[1.0_f32]], &Device::flex()), &head, &[0], Want::Loss);
        // Each of them is too small to change a 32-bit 1; together they are 0.2 %.
        let want = (f64::from(OTHERS) * (-17.0_f64).exp()).ln_1p();
        assert!((loss.sum() - want).abs() < 0.1 * want, "{} is not {want}", loss.sum());
    }

    #[test]
    fn an_impossible_target_has_a_large_finite_loss() {
        let hidden = random(1, 2, 3).zeros_like().add_scalar(100.0);
        let head = Tensor::from_data([[1.0_f32, 1.0], [-1.0, -1.0]], &Device::flex());
        let loss = cross_entropy(&hidden, &head, &[1], Want::Loss);
        assert!((loss.sum() - 400.0).abs() < 1e-3, "{}", loss.sum());
        assert!(loss.gradient.is_none());
    }
}
