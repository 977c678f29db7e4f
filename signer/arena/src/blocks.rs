//! Which parts of a range of pages are taken: numbers only, no memory.
//!
//! A page is free, holds blocks of one size, or belongs to a block of whole pages. What is taken is written outside the range that it
//! is about, so nothing that is written into a block, or behind its end, changes what is free. A page whose last block was given back is free
//! for blocks of any size.

use std::ops::Range;

/// Bytes of a page.
pub const PAGE: usize = 4096;

/// Blocks begin and end at multiples of this, in bytes.
pub const UNIT: usize = 64;

/// Units of a page: as many as a word has bits.
const UNITS: usize = PAGE / UNIT;

/// What a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    /// Nobody's.
    Free,
    /// Blocks of so many units each.
    Split(Split),
    /// Begins a block of so many pages.
    First(u32),
    /// Goes on with a block that begins before it.
    Rest,
}

/// A page of blocks of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Split {
    units: u8,
    /// A bit for each block.
    taken: u64,
    /// Its neighbours in the list of pages that have a free block of this size.
    before: Option<u32>,
    behind: Option<u32>,
}

impl Split {
    fn blocks(&self) -> u32 {
        (UNITS / usize::from(self.units)) as u32
    }

    fn is_full(&self) -> bool {
        self.taken.count_ones() == self.blocks()
    }
}

/// The pages.
pub struct Blocks {
    pages: Box<[Page]>,
    /// By units: the first page of such blocks that has a free one.
    open: [Option<u32>; UNITS / 2 + 1],
    /// No page before it is free.
    first_free: usize,
    /// How many pages are.
    free: usize,
}

impl Blocks {
    /// A range of so many pages, all free.
    pub fn new(pages: usize) -> Self {
        Self {
            pages: vec![Page::Free; pages].into(),
            open: [None; UNITS / 2 + 1],
            first_free: 0,
            free: pages,
        }
    }

    /// Bytes of free pages.
    pub fn free_bytes(&self) -> usize {
        self.free * PAGE
    }

    /// Takes a block of at least so many bytes; its place, in bytes from the beginning of the range. [`None`] when there is no room.
    pub fn take(&mut self, bytes: usize) -> Option<Range<usize>> {
        let units = bytes.max(1).div_ceil(UNIT);
        if units > UNITS / 2 { self.take_pages(bytes.div_ceil(PAGE)) } else { self.take_units(units) }
    }

    /// The block that begins there; [`None`] when none that is taken does.
    pub fn block(&self, at: usize) -> Option<Range<usize>> {
        match self.pages.get(at / PAGE)? {
            Page::First(pages) if at.is_multiple_of(PAGE) => Some(at..at + *pages as usize * PAGE),
            Page::Split(split) => {
                let bytes = usize::from(split.units) * UNIT;
                let (number, inside) = (at % PAGE / bytes, at % PAGE % bytes);
                let is_taken = inside == 0 && split.taken >> number & 1 == 1;
                is_taken.then(|| at..at + bytes)
            }
            _ => None,
        }
    }

    /// Gives back a block that [`Self::block`] finds.
    ///
    /// # Panics
    /// When it does not: two owners of one block must not go on.
    pub fn give_back(&mut self, at: usize) {
        let block = self.block(at).expect("a block that is given back is taken");
        let page = at / PAGE;
        match self.pages[page] {
            Page::Split(split) => self.give_back_units(page as u32, split, at % PAGE / block.len()),
            _ => self.free_pages(page..block.end / PAGE),
        }
    }

    fn take_units(&mut self, units: usize) -> Option<Range<usize>> {
        // The largest size of which as many fit into a page.
        let units = UNITS / (UNITS / units);
        let page = match self.open[units] {
            Some(page) => page,
            None => self.split(units)?,
        };
        let Page::Split(split) = &mut self.pages[page as usize] else {
            unreachable!("a page in a list of blocks is one of blocks")
        };
        let number = split.taken.trailing_ones() as usize;
        split.taken |= 1 << number;
        if split.is_full() {
            self.unlink(page);
        }
        let at = page as usize * PAGE + number * units * UNIT;
        Some(at..at + units * UNIT)
    }

    /// Makes a free page one of blocks.
    fn split(&mut self, units: usize) -> Option<u32> {
        let page = self.find_free(1)? as u32;
        self.first_free = page as usize + 1;
        self.free -= 1;
        self.pages[page as usize] =
            Page::Split(Split { units: units as u8, taken: 0, before: None, behind: None });
        self.link(page);
        Some(page)
    }

    fn give_back_units(&mut self, page: u32, mut split: Split, number: usize) {
        let was_full = split.is_full();
        split.taken &= !(1 << number);
        self.pages[page as usize] = Page::Split(split);
        if was_full {
            self.link(page);
        }
        if split.taken == 0 {
            self.unlink(page);
            self.free_pages(page as usize..page as usize + 1);
        }
    }

    fn take_pages(&mut self, count: usize) -> Option<Range<usize>> {
        let first = self.find_free(count)?;
        self.pages[first] = Page::First(count as u32);
        self.pages[first + 1..first + count].fill(Page::Rest);
        if first == self.first_free {
            self.first_free += count;
        }
        self.free -= count;
        Some(first * PAGE..(first + count) * PAGE)
    }

    fn free_pages(&mut self, pages: Range<usize>) {
        self.first_free = self.first_free.min(pages.start);
        self.free += pages.len();
        self.pages[pages].fill(Page::Free);
    }

    /// The first of so many free pages that follow each other.
    fn find_free(&self, count: usize) -> Option<usize> {
        let mut run = 0;
        for (page, what) in self.pages.iter().enumerate().skip(self.first_free) {
            run = if *what == Page::Free { run + 1 } else { 0 };
            if run == count {
                return Some(page + 1 - count);
            }
        }
        None
    }

    /// Puts a page before the others that have a free block of its size.
    fn link(&mut self, page: u32) {
        let Page::Split(mut split) = self.pages[page as usize] else { return };
        let behind = self.open[usize::from(split.units)].replace(page);
        (split.before, split.behind) = (None, behind);
        self.pages[page as usize] = Page::Split(split);
        if let Some(Page::Split(behind)) = behind.map(|behind| &mut self.pages[behind as usize]) {
            behind.before = Some(page);
        }
    }

    /// Takes a page out of that list.
    fn unlink(&mut self, page: u32) {
        let Page::Split(split) = self.pages[page as usize] else { return };
        match split.before.map(|before| &mut self.pages[before as usize]) {
            Some(Page::Split(before)) => before.behind = split.behind,
            _ => self.open[usize::from(split.units)] = split.behind,
        }
        if let Some(Page::Split(behind)) = split.behind.map(|behind| &mut self.pages[behind as usize]) {
            behind.before = split.before;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Sizes on both sides of every limit.
    const SIZES: [usize; 14] =
        [0, 1, 63, 64, 65, 192, 640, 1344, 2048, 2049, PAGE - 1, PAGE, PAGE + 1, 5 * PAGE + 7];

    /// Numbers that only look like chance (xorshift64).
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, end: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % end as u64) as usize
        }
    }

    #[test]
    fn blocks_hold_what_was_asked_for_lie_apart_and_all_come_back() {
        for seed in 1..=20 {
            let (mut chance, mut blocks) = (Chance(seed), Blocks::new(64));
            let mut model = BTreeMap::<usize, usize>::new();
            for _ in 0..20_000 {
                if chance.below(100) < 52 {
                    let bytes = SIZES[chance.below(SIZES.len())];
                    let Some(block) = blocks.take(bytes) else { continue };
                    assert!(block.len() >= bytes && block.start % UNIT == 0 && block.end <= 64 * PAGE);
                    let before = model.range(..block.end).next_back();
                    assert!(before.is_none_or(|(_, end)| *end <= block.start), "{block:?} {before:?}");
                    model.insert(block.start, block.end);
                } else if let Some(nth) = model.len().checked_sub(1) {
                    let (at, end) = model.iter().nth(chance.below(nth + 1)).map(|(a, b)| (*a, *b)).unwrap();
                    assert_eq!(blocks.block(at), Some(at..end));
                    blocks.give_back(at);
                    assert_eq!(blocks.block(at), None);
                    model.remove(&at);
                }
            }
            for at in model.into_keys() {
                blocks.give_back(at);
            }
            assert_eq!(blocks.free_bytes(), 64 * PAGE, "seed {seed}");
            assert_eq!(blocks.take(64 * PAGE), Some(0..64 * PAGE), "seed {seed}");
        }
    }

    #[test]
    fn a_full_range_gives_nothing_until_something_comes_back() {
        for bytes in SIZES {
            let mut blocks = Blocks::new(8);
            let taken: Vec<_> = std::iter::from_fn(|| blocks.take(bytes)).collect();
            // At least three quarters of the pages are used, but for blocks of a page and a little.
            let used: usize = taken.iter().map(|block| block.len()).sum();
            assert!(used >= 6 * PAGE || bytes > PAGE, "{bytes}: {used}");
            assert_eq!(blocks.take(bytes), None);
            blocks.give_back(taken[taken.len() / 2].start);
            assert_eq!(blocks.take(bytes).as_ref(), Some(&taken[taken.len() / 2]));
        }
        assert_eq!(Blocks::new(8).take(8 * PAGE + 1), None);
        assert_eq!(Blocks::new(8).take(usize::MAX), None);
    }

    #[test]
    fn what_is_no_beginning_of_a_taken_block_is_none() {
        let mut blocks = Blocks::new(8);
        let (small, large) = (blocks.take(100).unwrap(), blocks.take(2 * PAGE).unwrap());
        for at in [small.start + 1, small.end, large.start + PAGE, large.end, 8 * PAGE, usize::MAX] {
            assert_eq!(blocks.block(at), None, "{at}");
        }
        let twice = std::panic::catch_unwind(move || {
            blocks.give_back(small.start);
            blocks.give_back(small.start);
        });
        assert!(twice.is_err());
    }
}
