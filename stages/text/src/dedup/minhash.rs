//! `MinHash` signatures and the keys of their bands.

use xxhash_rust::xxh3::xxh3_64;

/// Hash functions of a signature.
pub const HASHES: usize = 128;
/// Bands a signature is cut into.
pub const BANDS: usize = 32;
const ROWS: usize = HASHES / BANDS;

/// The keys of one row's bands; none for a row without shingles.
pub(super) type BandKeys = Option<[u64; BANDS]>;

/// A family of multiply-shift hash functions, the same in every run: signatures are part of no configuration.
pub(super) struct MinHasher {
    functions: Vec<(u64, u64)>,
}

impl MinHasher {
    pub(super) fn new() -> Self {
        let parameter = |index: usize| xxh3_64(&index.to_le_bytes());
        Self { functions: (0..HASHES).map(|i| (parameter(2 * i) | 1, parameter(2 * i + 1))).collect() }
    }

    pub(super) fn band_keys(&self, shingles: &[u64]) -> BandKeys {
        if shingles.is_empty() {
            return None;
        }
        let signature = self.signature(shingles);
        let mut keys = [0; BANDS];
        for (key, band) in keys.iter_mut().zip(signature.chunks_exact(ROWS)) {
            let bytes: Vec<u8> = band.iter().flat_map(|hash| hash.to_le_bytes()).collect();
            *key = xxh3_64(&bytes);
        }
        Some(keys)
    }

    fn signature(&self, shingles: &[u64]) -> [u32; HASHES] {
        let mut signature = [u32::MAX; HASHES];
        for shingle in shingles {
            for (least, (multiply, add)) in signature.iter_mut().zip(&self.functions) {
                let hash = (shingle.wrapping_mul(*multiply).wrapping_add(*add) >> 32) as u32;
                *least = hash.min(*least);
            }
        }
        signature
    }
}
