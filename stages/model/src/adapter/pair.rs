//! One pair over one projection: what it adds to the frozen product.
//!
//! # `DoRA`
//! `y = m / n * (W x + s B A x) + bias` with a trained length `m` of every row, and `n` the row's length in `W + s B A`, which the
//! gradient takes for a constant (Liu et al. 2024, section 4.3). The sum is never composed: its squared length is that of `W`,
//! twice the product with `s B A`, and that of `s B A`, and the latter two need products of the width of the rank only.

use burn::tensor::{Tensor, TensorData, module};

use crate::{Dropout, network::linear, rng::Rng};

/// One pair.
#[derive(Clone, Debug)]
pub struct Lora {
    /// `lora_A`, `[rank, in]`.
    pub a: Tensor<2>,
    /// `lora_B`, `[out, rank]`.
    pub b: Tensor<2>,
    /// `lora_magnitude_vector` of `DoRA`, `[1, out]`: the length of every row of the adapted weight.
    pub magnitude: Option<Tensor<2>>,
    /// The factor on the product.
    pub scale: f64,
}

/// A projection under a pair.
pub(crate) struct Frozen<'a> {
    /// `[in, out]`.
    pub(crate) weight: &'a Tensor<2>,
    pub(crate) bias: Option<&'a Tensor<1>>,
}

impl Frozen<'_> {
    /// Multiplies `[rows, in]`.
    pub(crate) fn forward(&self, input: &Tensor<2>) -> Tensor<2> {
        module::linear(input.clone(), self.weight.clone(), self.bias.cloned())
    }

    fn product(&self, input: &Tensor<2>) -> Tensor<2> {
        linear(input.clone(), self.weight)
    }
}

impl Lora {
    /// What a frozen product becomes where rows have no length of their own.
    pub(crate) fn add(&self, plain: Tensor<2>, input: &Tensor<2>) -> Tensor<2> {
        plain + self.product(input)
    }

    /// What the projection gives where every row has the length `magnitude`; `dropped` is the input after dropout, if there is any.
    pub(crate) fn lengthen(
        &self,
        magnitude: &Tensor<2>,
        base: &Frozen<'_>,
        (input, dropped): (&Tensor<2>, Option<&Tensor<2>>),
    ) -> Tensor<2> {
        let pair = (&self.a.clone().inner(), &self.b.clone().inner(), self.scale);
        let factor = magnitude.clone() / row_norms(&base.weight.clone().inner(), Some(pair));
        let output = match dropped {
            None => (base.product(input) + self.product(input)) * factor,
            // Dropout is the pair's alone: the product that has no length of its own sees the whole input.
            Some(dropped) => {
                let lengthened = base.product(dropped) * (factor.clone() - 1.0);
                base.product(input) + lengthened + self.product(dropped) * factor
            }
        };
        match base.bias {
            Some(bias) => output + bias.clone().unsqueeze(),
            None => output,
        }
    }

    fn product(&self, input: &Tensor<2>) -> Tensor<2> {
        let narrow = linear(input.clone(), &self.a.clone().transpose()).mul_scalar(self.scale);
        linear(narrow, &self.b.clone().transpose())
    }
}

/// The length of every row of a weight `[in, out]`, to which `scale * B A` was added: `[1, out]`.
pub(crate) fn row_norms(weight: &Tensor<2>, pair: Option<(&Tensor<2>, &Tensor<2>, f64)>) -> Tensor<2> {
    let own = weight.clone().square().sum_dim(0);
    let squared = match pair {
        None => own,
        Some((a, b, scale)) => {
            let b = b.clone().transpose();
            let across = (a.clone().matmul(weight.clone()) * b.clone()).sum_dim(0);
            let gram = a.clone().matmul(a.clone().transpose());
            let added = (gram.matmul(b.clone()) * b).sum_dim(0);
            own + across.mul_scalar(2.0 * scale) + added.mul_scalar(scale * scale)
        }
    };
    // A row of zeros has no direction that a length could be given.
    squared.clamp_min(f32::MIN_POSITIVE).sqrt()
}

/// Returns `0` or `1 / (1 - rate)` per element, from the seed and the projection's name alone.
pub(super) fn mask(dropout: Dropout, name: &str, like: &Tensor<2>) -> Tensor<2> {
    let mut rng = Rng::named(dropout.seed, name);
    let kept = 1.0 / (1.0 - dropout.rate);
    let [rows, columns] = like.dims();
    let values: Vec<f32> = (0..rows * columns).map(|_| if rng.unit() < dropout.rate { 0.0 } else { kept }).collect();
    Tensor::from_data(TensorData::new(values, [rows, columns]), &like.device().inner())
}
