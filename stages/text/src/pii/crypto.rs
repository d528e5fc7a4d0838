//! Checksums of Bitcoin addresses: `Base58Check`, `Bech32`, and `Bech32m`.

use sha2::{Digest, Sha256};

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// Version byte, hash of 20 bytes, checksum of 4.
const BASE58_BYTES: usize = 25;

/// Whether a text is a Bitcoin address of the old form.
pub(super) fn base58_address(text: &str) -> bool {
    let Some(bytes) = base58_decode(text) else { return false };
    let (body, check) = bytes.split_at(BASE58_BYTES - 4);
    Sha256::digest(Sha256::digest(body)).starts_with(check)
}

fn base58_decode(text: &str) -> Option<[u8; BASE58_BYTES]> {
    let mut bytes = [0_u8; BASE58_BYTES];
    for symbol in text.bytes() {
        let mut carry = BASE58.iter().position(|s| *s == symbol)?;
        for byte in bytes.iter_mut().rev() {
            carry += usize::from(*byte) * 58;
            *byte = u8::try_from(carry % 256).ok()?;
            carry /= 256;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(bytes)
}

/// Whether a text is a Bitcoin address of the `bc1` form.
pub(super) fn bech32_address(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let Some(data) = text.strip_prefix("bc1") else { return false };
    let values: Option<Vec<u32>> =
        data.bytes().map(|symbol| BECH32.iter().position(|s| *s == symbol).and_then(|at| u32::try_from(at).ok())).collect();
    let Some(values) = values else { return false };
    // The human-readable part `bc`, spread as the standard says: high bits, zero, low bits.
    let prefix = [3, 3, 0, 2, 3];
    let check = prefix.into_iter().chain(values).fold(1, polymod_step);
    check == 1 || check == 0x2bc8_30a3
}

fn polymod_step(check: u32, value: u32) -> u32 {
    const GENERATORS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let top = check >> 25;
    let shifted = ((check & 0x01ff_ffff) << 5) ^ value;
    GENERATORS.iter().enumerate().filter(|(bit, _)| (top >> bit) & 1 == 1).fold(shifted, |all, (_, generator)| all ^ generator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_addresses_pass_and_altered_ones_fail() {
        assert!(base58_address("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"));
        assert!(base58_address("3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"));
        assert!(!base58_address("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb"));
        assert!(!base58_address("0OIl") && !base58_address(""));
        assert!(bech32_address("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"));
        assert!(bech32_address("BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4"));
        assert!(bech32_address("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"));
        assert!(!bech32_address("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdr"));
    }
}
