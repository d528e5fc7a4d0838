//! Where tensors live: `cpu`, `cuda[:N]`, or `auto`. Probing asks the driver for a count and never opens a device, because
//! opening one that is not there ends in a panic inside the back end.

use burn::tensor::Device;

use crate::ModelError;

/// Finds the device that a configuration asks for.
///
/// Call it before the first tensor: it also points the back end's own default away from hardware that is not there.
pub fn open(spec: &str) -> Result<Device, ModelError> {
    let (kind, index) = spec.split_once(':').unwrap_or((spec, "0"));
    match kind {
        "cpu" if !spec.contains(':') => Ok(cpu()),
        "auto" if !spec.contains(':') => Ok(if cuda_count() > 0 { cuda(0) } else { cpu() }),
        "cuda" => {
            let index: usize = index.parse().map_err(|_| refuse(spec, "the index is not a number".to_owned()))?;
            match cuda_count() {
                found if index < found => Ok(cuda(index)),
                0 if cfg!(not(feature = "cuda")) => Err(refuse(spec, "this binary was built without CUDA".to_owned())),
                found => Err(refuse(spec, format!("{found} CUDA devices found"))),
            }
        }
        _ => Err(refuse(spec, "expected cpu, cuda, cuda:N, or auto".to_owned())),
    }
}

fn refuse(spec: &str, reason: String) -> ModelError {
    ModelError::Device { spec: spec.to_owned(), reason }
}

fn cpu() -> Device {
    default_to("flex");
    Device::flex()
}

#[cfg(feature = "cuda")]
fn cuda_count() -> usize {
    Device::enumerate(burn::tensor::DeviceType::Cuda).len()
}

#[cfg(not(feature = "cuda"))]
fn cuda_count() -> usize {
    0
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Device {
    default_to("cuda");
    Device::cuda(index)
}

#[cfg(not(feature = "cuda"))]
fn cuda(_: usize) -> Device {
    cpu()
}

/// Sets what `Device::default()` means inside the tensor library, once, unless the user has decided.
fn default_to(device: &str) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        if std::env::var_os("BURN_DEVICE").is_none() {
            #[expect(unsafe_code, reason = "the library reads its default from the environment and offers no other way")]
            // SAFETY: only Rust code of this process reads the environment, through the lock of `std::env`.
            unsafe {
                std::env::set_var("BURN_DEVICE", device);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_devices_are_named() {
        let error = open("tpu:3").expect_err("there is no such device").to_string();
        assert!(error.contains("tpu:3"), "{error}");
        assert!(open("cpu").is_ok());
        assert!(open("auto").is_ok());
        assert!(open("cpu:1").is_err());
        assert!(open("cuda:many").is_err());
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn cuda_is_refused_without_the_feature() {
        assert!(open("cuda:0").expect_err("not compiled in").to_string().contains("without CUDA"));
    }
}
