//! Seeded random numbers that are the same on every machine and in every version: adapter weights, dropout masks, and
//! sampling must not depend on somebody else's generator.

/// `SplitMix64`: tiny, fast, and good enough for initial weights and masks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng(u64);

impl Rng {
    /// Starts a stream.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Starts the stream that belongs to `name` under a seed.
    pub fn named(seed: u64, name: &str) -> Self {
        // FNV-1a over the name, then one mixing round: streams of different names do not overlap in practice.
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        Self(Self(seed ^ hash).next_u64())
    }

    /// Returns 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Returns a number in `[0, 1)`.
    #[expect(clippy::cast_precision_loss, reason = "24 bits fit a float exactly")]
    pub fn unit(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / 16_777_216.0
    }

    /// Returns a number in `[-bound, bound)`.
    pub fn symmetric(&mut self, bound: f32) -> f32 {
        (self.unit() * 2.0 - 1.0) * bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_published_one() {
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn names_give_different_streams() {
        assert_ne!(Rng::named(7, "a").next_u64(), Rng::named(7, "b").next_u64());
        assert_eq!(Rng::named(7, "a"), Rng::named(7, "a"));
    }
}
