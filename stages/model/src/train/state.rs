//! Parameters and what an optimizer remembers of them, to the host for a checkpoint and back.

use burn::tensor::{Device, Tensor, TensorData};

use super::TrainError;
use crate::{
    checkpoint::{Checkpoint, HostTensor, Values},
    optimizer::{Codes, Layout, Slot, Storage},
};

/// Ends the names of the scales beside a tensor of codes.
const SCALES: &str = ".scales";

/// The numbers of a tensor.
pub(super) fn host_floats(tensor: &Tensor<2>) -> HostTensor {
    let values = Values::Floats(tensor.to_data().iter::<f32>().collect());
    HostTensor { shape: tensor.dims().to_vec(), values }
}

/// The tensors that stand for a slot in a checkpoint.
pub(super) fn to_host(name: &str, slot: &Slot) -> Vec<(String, HostTensor)> {
    match slot {
        Slot::Floats(tensor) => vec![(name.to_owned(), host_floats(tensor))],
        Slot::Codes(codes) => {
            let scales = HostTensor { shape: vec![codes.scales.len()], values: Values::Floats(codes.scales.clone()) };
            let codes = HostTensor { shape: codes.shape.to_vec(), values: Values::Bytes(codes.codes.clone()) };
            vec![(name.to_owned(), codes), (format!("{name}{SCALES}"), scales)]
        }
    }
}

/// Whether a checkpoint has a tensor.
pub(super) fn is_there(checkpoint: &Checkpoint, name: &str) -> bool {
    checkpoint.tensors.contains_key(name)
}

/// A tensor of 32-bit numbers of this shape.
pub(super) fn floats(checkpoint: &Checkpoint, name: &str, shape: [usize; 2], device: &Device) -> Result<Tensor<2>, TrainError> {
    match checkpoint.tensors.get(name) {
        Some(HostTensor { shape: stored, values: Values::Floats(values) }) if *stored == shape => {
            Ok(Tensor::from_data(TensorData::new(values.clone(), shape), device))
        }
        _ => Err(TrainError::Foreign { name: name.to_owned() }),
    }
}

/// A slot as its layout asks for it.
pub(super) fn to_device(checkpoint: &Checkpoint, (name, layout): (&str, &Layout), device: &Device) -> Result<Slot, TrainError> {
    match layout.storage {
        Storage::Floats => floats(checkpoint, name, layout.shape, device).map(Slot::Floats),
        Storage::SignedCodes | Storage::UnsignedCodes => codes(checkpoint, name, layout.shape).map(Slot::Codes),
    }
}

fn codes(checkpoint: &Checkpoint, name: &str, shape: [usize; 2]) -> Result<Codes, TrainError> {
    let foreign = || TrainError::Foreign { name: name.to_owned() };
    let (Some(codes), Some(scales)) = (checkpoint.tensors.get(name), checkpoint.tensors.get(&format!("{name}{SCALES}"))) else {
        return Err(foreign());
    };
    match (&codes.values, &scales.values) {
        (Values::Bytes(bytes), Values::Floats(scales)) if codes.shape == shape => {
            let codes = Codes { shape, codes: bytes.clone(), scales: scales.clone() };
            if codes.is_whole() { Ok(codes) } else { Err(foreign()) }
        }
        _ => Err(foreign()),
    }
}
