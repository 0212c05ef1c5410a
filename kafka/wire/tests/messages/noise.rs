//! Random changes to the values of a vector, from a seed that failures print.

/// A stream of random numbers, and how often it changes a value.
pub(crate) struct Noise {
    state: u64,
    /// Chance of a change in 256.
    chance: u64,
}

impl Noise {
    pub(crate) fn none() -> Self {
        Self {
            state: 1,
            chance: 0,
        }
    }

    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            chance: 96,
        }
    }

    /// xorshift64*.
    pub(crate) fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((self.next() >> 32) as usize) % end
    }

    pub(crate) fn strikes(&mut self) -> bool {
        self.chance > 0 && self.next() >> 56 < self.chance
    }

    /// A number, often one at the edge of a width.
    pub(crate) fn number(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => u64::MAX >> 1,
            3 => 1 << 63,
            4 => self.next() & 0x7f,
            _ => self.next(),
        }
    }

    /// A length, sometimes beyond the bound from which the encoder shares bytes.
    pub(crate) fn length(&mut self) -> usize {
        match self.below(8) {
            0 => 0,
            1 => 1000 + self.below(100),
            _ => self.below(40),
        }
    }

    pub(crate) fn text(&mut self) -> String {
        const LETTERS: [char; 6] = ['a', '.', '_', 'é', '€', '😀'];
        (0..self.length())
            .map(|_| LETTERS[self.below(LETTERS.len())])
            .collect()
    }

    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        (0..self.length()).map(|_| self.next() as u8).collect()
    }
}
