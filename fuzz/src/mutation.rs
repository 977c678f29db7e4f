//! Mutations of inputs, decided by a seed: the same seed makes the same inputs on every machine.
//!
//! Most inputs are lines with words in them, so besides bits and ranges, whole lines and words of a dictionary are moved.

/// No mutation is longer.
const MAX_BYTES: usize = 64 << 10;

/// A source of numbers that only its seed decides (xorshift).
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// The numbers of that seed.
    pub fn new(seed: u64) -> Self {
        let mut numbers = Self(seed ^ 0x9e37_79b9_7f4a_7c15);
        numbers.0 = numbers.0.max(1);
        // The first numbers of neighbouring seeds are alike.
        for _ in 0..8 {
            numbers.next();
        }
        numbers
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// One of them; there is at least one.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// What mutations are made of.
pub struct Mutator {
    numbers: Numbers,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    /// Mutations with these words, which are not none.
    pub fn new(numbers: Numbers, words: Vec<Vec<u8>>) -> Self {
        Self { numbers, words }
    }

    /// A mutation of one of the inputs, which are not none.
    pub fn mutate(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut input = self.numbers.pick(inputs).clone();
        for _ in 0..=self.numbers.below(4) {
            self.edit(&mut input, inputs);
        }
        input.truncate(MAX_BYTES);
        input
    }

    fn edit(&mut self, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        match self.numbers.below(16) {
            0..3 => self.change_byte(input),
            3..7 => self.put_word(input),
            7 => self.change_number(input),
            8 => drop(input.drain(self.range(input.len()))),
            9 => self.copy_within(input),
            10 => self.repeat(input),
            11 => input.truncate(self.numbers.below(input.len() + 1)),
            12 | 13 => self.splice(input, inputs),
            _ => self.move_lines(input, inputs),
        }
    }

    /// A part of something so long, more often short than long.
    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let from = self.numbers.below(len + 1);
        let most = [0, 1, 2, 4, 8, 32, 128, len][self.numbers.below(8)];
        from..len.min(from + self.numbers.below(most + 1))
    }

    fn change_byte(&mut self, input: &mut [u8]) {
        if input.is_empty() {
            return;
        }
        let at = self.numbers.below(input.len());
        input[at] = match self.numbers.below(4) {
            0 => self.numbers.below(256) as u8,
            1 => input[at].wrapping_add(1),
            _ => input[at] ^ 1 << self.numbers.below(8),
        };
    }

    fn put_word(&mut self, input: &mut Vec<u8>) {
        let from = self.numbers.below(input.len() + 1);
        let over = [0, 0, 0, 1, 2, 5, 20][self.numbers.below(7)];
        let word = self.numbers.pick(&self.words).iter().copied();
        input.splice(from..input.len().min(from + over), word);
    }

    /// Puts another number in place of the digits around some place.
    fn change_number(&mut self, input: &mut Vec<u8>) {
        const NUMBERS: &[&str] = &[
            "0",
            "1",
            "2",
            "3",
            "7",
            "9",
            "10",
            "12",
            "127",
            "128",
            "255",
            "256",
            "1000",
            "65535",
            "65536",
            "4294967295",
            "4294967296",
            "999999999999999999",
            "1000000000000000000",
            "9223372036854775807",
            "18446744073709551615",
            "18446744073709551616",
            "-1",
            "00",
            "01",
        ];
        let from = self.numbers.below(input.len() + 1);
        let Some(first) = input[from..].iter().position(u8::is_ascii_digit).map(|at| from + at) else {
            return;
        };
        let len = input[first..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = self.numbers.pick(NUMBERS).bytes();
        input.splice(first..first + len, number);
    }

    fn copy_within(&mut self, input: &mut Vec<u8>) {
        let part = input[self.range(input.len())].to_vec();
        let at = self.numbers.below(input.len() + 1);
        input.splice(at..at, part);
    }

    /// Repeats a part, so that nesting and lists grow.
    fn repeat(&mut self, input: &mut Vec<u8>) {
        let range = self.range(input.len());
        let part = &input[range.clone()];
        let times = (1 << self.numbers.below(10)).min(MAX_BYTES / part.len().max(1));
        let repeated = part.repeat(times);
        input.splice(range, repeated);
    }

    /// Puts a part of another input here.
    fn splice(&mut self, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let other = self.numbers.pick(inputs);
        let part = other[self.range(other.len())].iter().copied();
        input.splice(self.range(input.len()), part);
    }

    /// Drops, doubles, swaps or fetches a whole line.
    fn move_lines(&mut self, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let mut lines: Vec<Vec<u8>> =
            input.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        if lines.is_empty() {
            return;
        }
        let (at, other) = (self.numbers.below(lines.len()), self.numbers.below(lines.len()));
        match self.numbers.below(4) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(other, lines[at].clone()),
            2 => lines.swap(at, other),
            _ => {
                let from = self.numbers.pick(inputs);
                let theirs: Vec<&[u8]> = from.split_inclusive(|byte| *byte == b'\n').collect();
                if !theirs.is_empty() {
                    lines[at] = self.numbers.pick(&theirs).to_vec();
                }
            }
        }
        *input = lines.concat();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutations(seed: u64) -> Vec<Vec<u8>> {
        let inputs = [b"a 1\nb 22\n".to_vec(), b"".to_vec(), b"x".repeat(300)];
        let mut mutator = Mutator::new(Numbers::new(seed), vec![b"word".to_vec()]);
        (0..2_000).map(|_| mutator.mutate(&inputs)).collect()
    }

    #[test]
    fn a_seed_decides_every_mutation() {
        assert_eq!(mutations(7), mutations(7));
        assert_ne!(mutations(7), mutations(8));
    }

    #[test]
    fn mutations_are_bounded_and_mostly_new() {
        let made = mutations(1);
        assert!(made.iter().all(|input| input.len() <= MAX_BYTES));
        let distinct: std::collections::BTreeSet<_> = made.iter().collect();
        assert!(distinct.len() > 1_000, "{}", distinct.len());
    }
}
