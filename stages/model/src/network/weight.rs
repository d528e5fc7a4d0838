//! A network's weights one by one: to make them leaves of a graph, or to look at them.

use burn::tensor::Tensor;

use super::Network;
use crate::weights::names;

/// One weight of a network. Projections lie as `[in, out]`, tables as `[vocabulary, hidden]`.
#[derive(Clone, Debug)]
pub enum Weight {
    /// A table or a projection.
    Matrix(Tensor<2>),
    /// A norm's scale, or a bias.
    Vector(Tensor<1>),
}

/// Replaces a weight, given its Hugging Face name. A matrix stays a matrix.
pub(super) type Change<'a> = &'a mut dyn FnMut(&str, Weight) -> Weight;

impl From<Tensor<2>> for Weight {
    fn from(matrix: Tensor<2>) -> Self {
        Self::Matrix(matrix)
    }
}

impl From<Tensor<1>> for Weight {
    fn from(vector: Tensor<1>) -> Self {
        Self::Vector(vector)
    }
}

impl Weight {
    pub(super) fn matrix(self) -> Tensor<2> {
        match self {
            Self::Matrix(matrix) => matrix,
            Self::Vector(vector) => vector.unsqueeze(),
        }
    }

    pub(super) fn vector(self) -> Tensor<1> {
        match self {
            Self::Matrix(matrix) => matrix.flatten(0, 1),
            Self::Vector(vector) => vector,
        }
    }

    /// Returns the weight as a leaf of a new graph.
    fn tracked(self) -> Self {
        match self {
            Self::Matrix(matrix) => Self::Matrix(matrix.inner().autodiff().require_grad()),
            Self::Vector(vector) => Self::Vector(vector.inner().autodiff().require_grad()),
        }
    }
}

impl Network {
    /// Replaces every weight by a function of its Hugging Face name and value.
    #[must_use]
    pub fn map(&self, change: &mut dyn FnMut(&str, Weight) -> Weight) -> Self {
        let embedding = change(self.config.family.embedding(), self.embedding.clone().into()).matrix();
        let layers = self.layers.iter().map(|layer| layer.map(change)).collect();
        let norm = self.norm.map(change);
        let head = self.head.as_ref().map(|head| change(names::HEAD, head.clone().into()).matrix());
        Self { config: self.config.clone(), embedding, layers, norm, head }
    }

    /// Every weight with its Hugging Face name.
    pub fn weights(&self) -> Vec<(String, Weight)> {
        let mut found = Vec::new();
        let _same = self.map(&mut |name, weight| {
            found.push((name.to_owned(), weight.clone()));
            weight
        });
        found
    }

    /// Returns the network with all weights as leaves of a new graph. A backward pass gives each its gradient.
    #[must_use]
    pub fn tracked(&self) -> Self {
        self.map(&mut |_, weight| weight.tracked())
    }
}
