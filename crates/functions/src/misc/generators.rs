//! Generators of random bits whose sequences are part of Spark's results.

/// Spark's `XORShiftRandom`, a `java.util.Random` with another step.
pub struct XorShift {
    seed: i64,
    /// The second of a pair of normal values.
    spare: Option<f64>,
}

impl XorShift {
    /// The generator of a seed.
    pub fn new(seed: i64) -> Self {
        let bytes = seed.to_be_bytes();
        let low = murmur3(bytes, 0x3c07_4a61);
        let high = murmur3(bytes, low);
        Self { seed: (i64::from(high as i32) << 32) | i64::from(low), spare: None }
    }

    fn next(&mut self, bits: u32) -> i32 {
        let mut next = self.seed ^ (self.seed << 21);
        next ^= ((next as u64) >> 35) as i64;
        next ^= next << 4;
        self.seed = next;
        (next & ((1i64 << bits) - 1)) as i32
    }

    /// A whole number over the full range.
    pub fn next_int(&mut self) -> i32 {
        self.next(32)
    }

    /// A double in [0, 1).
    pub fn next_double(&mut self) -> f64 {
        let high = i64::from(self.next(26)) << 27;
        (high + i64::from(self.next(27))) as f64 * (1.0 / (1i64 << 53) as f64)
    }

    /// A double of the standard normal distribution, by Marsaglia's polar method.
    pub fn next_gaussian(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (a, b) = (2.0 * self.next_double() - 1.0, 2.0 * self.next_double() - 1.0);
            let s = a * a + b * b;
            if s < 1.0 && s != 0.0 {
                let factor = (-2.0 * libm::log(s) / s).sqrt();
                self.spare = Some(b * factor);
                return a * factor;
            }
        }
    }
}

/// 32-bit Murmur3 of eight bytes.
fn murmur3(bytes: [u8; 8], seed: u32) -> u32 {
    let mut hash = seed;
    let [a, b, c, d, e, f, g, h] = bytes;
    for block in [[a, b, c, d], [e, f, g, h]] {
        let k = u32::from_le_bytes(block).wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        hash = (hash ^ k).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    hash ^= 8;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// The Mersenne twister MT19937 seeded with a long, from which `uuid(seed)` takes its bits.
pub struct MersenneTwister {
    state: Vec<u32>,
    index: usize,
}

const N: usize = 624;
const M: usize = 397;

impl MersenneTwister {
    /// The generator of a seed.
    pub fn new(seed: i64) -> Self {
        let key = [(seed >> 32) as u32, seed as u32];
        let mut state = vec![0u32; N];
        state[0] = 19_650_218;
        for i in 1..N {
            state[i] = (state[i - 1] ^ (state[i - 1] >> 30)).wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        let (mut i, mut j) = (1, 0);
        for _ in 0..N {
            let mixed = (state[i - 1] ^ (state[i - 1] >> 30)).wrapping_mul(1_664_525);
            state[i] = (state[i] ^ mixed).wrapping_add(key[j]).wrapping_add(j as u32);
            i = Self::advance(i, &mut state);
            j = (j + 1) % key.len();
        }
        for _ in 0..N - 1 {
            let mixed = (state[i - 1] ^ (state[i - 1] >> 30)).wrapping_mul(1_566_083_941);
            state[i] = (state[i] ^ mixed).wrapping_sub(i as u32);
            i = Self::advance(i, &mut state);
        }
        state[0] = 0x8000_0000;
        Self { state, index: N }
    }

    fn advance(i: usize, state: &mut [u32]) -> usize {
        if i + 1 < N {
            return i + 1;
        }
        state[0] = state[N - 1];
        1
    }

    fn next_u32(&mut self) -> u32 {
        if self.index >= N {
            self.refill();
        }
        let mut y = self.state[self.index];
        self.index += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn refill(&mut self) {
        for k in 0..N {
            let y = (self.state[k] & 0x8000_0000) | (self.state[(k + 1) % N] & 0x7fff_ffff);
            let twist = if y & 1 == 0 { 0 } else { 0x9908_b0df };
            self.state[k] = self.state[(k + M) % N] ^ (y >> 1) ^ twist;
        }
        self.index = 0;
    }

    /// 64 bits.
    pub fn next_long(&mut self) -> u64 {
        let high = u64::from(self.next_u32()) << 32;
        high | u64::from(self.next_u32())
    }
}
