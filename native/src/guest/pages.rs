//! A set of guest pages.

use std::ops::Range;

const WORD_BITS: usize = 64;

/// One bit for each page of the guest. No operation allocates.
#[derive(Debug, Clone)]
pub struct PageSet {
    words: Vec<u64>,
    pages: usize,
}

impl PageSet {
    /// An empty set for a guest of `pages` pages.
    pub fn new(pages: usize) -> Self {
        Self {
            words: vec![0; pages.div_ceil(WORD_BITS)],
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
        let mut page = range.start;
        while page < range.end {
            let (word, bit) = (page / WORD_BITS, page % WORD_BITS);
            let bits = (range.end - page).min(WORD_BITS - bit);
            self.words[word] |= mask(bits) << bit;
            page += bits;
        }
    }

    /// Adds every page.
    pub fn fill(&mut self) {
        self.insert(0..self.pages);
    }

    /// Adds the pages of `other`.
    pub fn union_with(&mut self, other: &Self) {
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    /// Empties the set.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// How many pages are in it.
    pub fn count(&self) -> usize {
        self.words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// The first run of pages at or after `from`, at most `longest` pages of it.
    pub fn next_run(&self, from: usize, longest: usize) -> Option<Range<usize>> {
        let start = self.find(from, true)?;
        let end = self
            .find(start, false)
            .unwrap_or(self.pages)
            .min(self.pages);
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
        let mut page = range.start;
        while page < range.end {
            let (word, bit) = (page / WORD_BITS, page % WORD_BITS);
            let bits = (range.end - page).min(WORD_BITS - bit);
            self.words[word] &= !(mask(bits) << bit);
            page += bits;
        }
    }

    /// First page at or after `from` that is (not) in the set.
    fn find(&self, from: usize, member: bool) -> Option<usize> {
        if from >= self.pages {
            return None;
        }
        let mut word = from / WORD_BITS;
        let flip = |bits: u64| if member { bits } else { !bits };
        let mut bits = flip(self.words[word]) & (u64::MAX << (from % WORD_BITS));
        loop {
            if bits != 0 {
                let page = word * WORD_BITS + bits.trailing_zeros() as usize;
                return (page < self.pages).then_some(page);
            }
            word += 1;
            bits = flip(*self.words.get(word)?);
        }
    }
}

fn mask(bits: usize) -> u64 {
    if bits == WORD_BITS {
        u64::MAX
    } else {
        (1 << bits) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const PAGES: usize = 300;

    proptest! {
        #[test]
        fn it_behaves_like_a_set(steps in prop::collection::vec((0..PAGES, 0..PAGES, any::<bool>()), 0..20)) {
            let mut set = PageSet::new(PAGES);
            let mut model = BTreeSet::new();
            for (a, b, insert) in steps {
                let range = a.min(b)..a.max(b);
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
            prop_assert_eq!(set.runs().flatten().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            let mut last = None;
            for run in set.runs() {
                prop_assert!(run.start < run.end);
                prop_assert!(last.is_none_or(|end| end < run.start), "runs are maximal");
                last = Some(run.end);
            }
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
