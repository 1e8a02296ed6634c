//! A set of guest pages.

use std::ops::Range;

const WORD_BITS: usize = 64;

/// One bit for each page of the guest. No operation allocates, and none but [`PageSet::fill`] costs more for a larger
/// guest than one step for each 4,096 pages.
#[derive(Debug, Clone)]
pub struct PageSet {
    words: Vec<u64>,
    /// One bit for each word that is not zero.
    summary: Vec<u64>,
    members: usize,
    pages: usize,
}

impl PageSet {
    /// An empty set for a guest of `pages` pages.
    pub fn new(pages: usize) -> Self {
        let words = pages.div_ceil(WORD_BITS);
        Self {
            words: vec![0; words],
            summary: vec![0; words.div_ceil(WORD_BITS)],
            members: 0,
            pages,
        }
    }

    /// Pages of the guest.
    pub fn capacity(&self) -> usize {
        self.pages
    }

    /// Adds the pages of `range`.
    ///
    /// # Panics
    /// If the range lies outside the guest.
    pub fn insert(&mut self, range: Range<usize>) {
        assert!(
            range.end <= self.pages,
            "page {} of {}",
            range.end,
            self.pages
        );
        for (word, bits) in parts(range) {
            self.set(word, self.words[word] | bits);
        }
    }

    /// Adds every page.
    pub fn fill(&mut self) {
        self.insert(0..self.pages);
    }

    /// Adds the pages of `other`.
    pub fn union_with(&mut self, other: &Self) {
        for index in 0..other.summary.len() {
            for bit in ones(other.summary[index]) {
                let word = index * WORD_BITS + bit;
                self.set(word, self.words[word] | other.words[word]);
            }
        }
    }

    /// Empties the set.
    pub fn clear(&mut self) {
        for (index, summary) in self.summary.iter_mut().enumerate() {
            for bit in ones(std::mem::take(summary)) {
                self.words[index * WORD_BITS + bit] = 0;
            }
        }
        self.members = 0;
    }

    /// How many pages are in it.
    pub fn count(&self) -> usize {
        self.members
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.members == 0
    }

    /// Whether `page` is in it.
    pub fn contains(&self, page: usize) -> bool {
        self.words[page / WORD_BITS] >> (page % WORD_BITS) & 1 == 1
    }

    /// The first run of pages at or after `from`, at most `longest` pages of it.
    pub fn next_run(&self, from: usize, longest: usize) -> Option<Range<usize>> {
        let start = self.first_in(from)?;
        let end = self.first_not_in(start);
        Some(start..end.min(start.saturating_add(longest)))
    }

    /// All runs in ascending order.
    pub fn runs(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut next = 0;
        std::iter::from_fn(move || {
            let run = self.next_run(next, usize::MAX)?;
            next = run.end;
            Some(run)
        })
    }

    /// Removes the pages of `range`.
    pub fn remove(&mut self, range: Range<usize>) {
        for (word, bits) in parts(range) {
            self.set(word, self.words[word] & !bits);
        }
    }

    fn set(&mut self, word: usize, bits: u64) {
        let before = std::mem::replace(&mut self.words[word], bits);
        self.members = self.members + bits.count_ones() as usize - before.count_ones() as usize;
        let mark = 1 << (word % WORD_BITS);
        if bits == 0 {
            self.summary[word / WORD_BITS] &= !mark;
        } else {
            self.summary[word / WORD_BITS] |= mark;
        }
    }

    /// First page at or after `from` that is in the set.
    fn first_in(&self, from: usize) -> Option<usize> {
        let start = from / WORD_BITS;
        let bits = self.words.get(start)? & (u64::MAX << (from % WORD_BITS));
        if bits != 0 {
            return Some(start * WORD_BITS + bits.trailing_zeros() as usize);
        }
        let next = start + 1;
        let mut index = next / WORD_BITS;
        let mut marks = self.summary.get(index)? & (u64::MAX << (next % WORD_BITS));
        while marks == 0 {
            index += 1;
            marks = *self.summary.get(index)?;
        }
        let word = index * WORD_BITS + marks.trailing_zeros() as usize;
        Some(word * WORD_BITS + self.words[word].trailing_zeros() as usize)
    }

    /// First page at or after `from` that is not in the set; the guest's end if all are.
    fn first_not_in(&self, from: usize) -> usize {
        let start = from / WORD_BITS;
        let mut gaps = !self.words[start] & (u64::MAX << (from % WORD_BITS));
        let mut word = start;
        while gaps == 0 {
            word += 1;
            let Some(bits) = self.words.get(word) else {
                return self.pages;
            };
            gaps = !bits;
        }
        (word * WORD_BITS + gaps.trailing_zeros() as usize).min(self.pages)
    }
}

/// The words that hold `range`, with the bits of it in each.
fn parts(range: Range<usize>) -> impl Iterator<Item = (usize, u64)> {
    let mut page = range.start;
    std::iter::from_fn(move || {
        let (word, bit) = (page / WORD_BITS, page % WORD_BITS);
        let bits = range.end.saturating_sub(page).min(WORD_BITS - bit);
        page += bits;
        (bits > 0).then(|| (word, (u64::MAX >> (WORD_BITS - bits)) << bit))
    })
}

fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = bits.trailing_zeros() as usize;
        bits &= bits.wrapping_sub(1);
        (bit < WORD_BITS).then_some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// More than one word of the summary, and not a whole number of words.
    const PAGES: usize = 4096 + 300;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 96, ..ProptestConfig::default() })]
        #[test]
        fn it_behaves_like_a_set(steps in prop::collection::vec((0..PAGES, prop_oneof![0..9usize, 0..PAGES], any::<bool>()), 0..20)) {
            let mut set = PageSet::new(PAGES);
            let mut model = BTreeSet::new();
            for (start, length, insert) in steps {
                let range = start..(start + length).min(PAGES);
                if insert {
                    set.insert(range.clone());
                    model.extend(range);
                } else {
                    set.remove(range.clone());
                    model.retain(|page| !range.contains(page));
                }
            }
            prop_assert_eq!(set.count(), model.len());
            prop_assert_eq!(set.is_empty(), model.is_empty());
            prop_assert!((0..PAGES).step_by(7).all(|page| set.contains(page) == model.contains(&page)));
            prop_assert_eq!(set.runs().flatten().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            let mut last = None;
            for run in set.runs() {
                prop_assert!(run.start < run.end);
                prop_assert!(last.is_none_or(|end| end < run.start), "runs are maximal");
                last = Some(run.end);
            }
            let mut both = PageSet::new(PAGES);
            both.insert(100..200);
            both.union_with(&set);
            model.extend(100..200);
            prop_assert_eq!(both.runs().flatten().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(both.count(), model.len());
            both.clear();
            prop_assert_eq!((both.count(), both.next_run(0, 1)), (0, None));
        }
    }

    #[test]
    fn a_full_set_is_one_run() {
        let mut set = PageSet::new(PAGES);
        set.fill();
        assert_eq!(set.runs().collect::<Vec<_>>(), [0..PAGES]);
        assert_eq!(set.next_run(10, 5), Some(10..15));
        assert_eq!(set.next_run(PAGES, 5), None);
    }
}
