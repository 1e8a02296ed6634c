//! Which parts of guest RAM are written often. Pure: it decides, [`super::ground`] acts.
//!
//! ```text
//!            a few writes within a few collections
//!   cold ───────────────────────────────────────────► hot
//!        ◄───────────────────────────────────────────
//!            no write for many collections
//! ```
//! A hot chunk costs every collection a look at its pages, 0.5 us where it has no hot neighbours. In a cold one a write
//! costs the guest a few microseconds, once between two collections for each page, and the collection 0.3 us. Changing
//! it either way costs about 30 us, though none of it in the guest's pause.

use std::ops::Range;

use crate::guest::pages::PageSet;

/// Pages of the smallest chunk.
const CHUNK_PAGES_MIN: usize = 64;
/// Writes to a cold chunk that make it hot.
const HEATING_WRITES: u32 = 4;
/// Collections after which a write counts half.
const HALF_LIFE: u32 = 16;
/// Collections without a write after which a hot chunk is cold.
const COOLING_AGE: u32 = 128;
/// Hot chunks that are looked at in one search for something to cool.
const SEARCH_CHUNKS: usize = 512;
/// Pages cooled at once, if a chunk is not larger: whoever waits to write anywhere waits for all of them.
const COOLED_PAGES_MAX: usize = 64;
/// As many idle chunks between hot ones cost less than a second look: they are left.
const GAP_CHUNKS: usize = 4;

/// What to do about a write to a cold chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Note the page and let the write pass.
    Note,
    /// Make the chunk hot.
    Heat,
}

#[derive(Debug, Clone, Copy, Default)]
struct Chunk {
    /// The collection in which it was last known to be written.
    written_at: u32,
    /// While it is cold: writes, halved with time.
    writes: u32,
}

/// The temperature of every chunk of guest RAM; all of them begin cold.
#[derive(Debug)]
pub struct Heat {
    pages: usize,
    chunk_pages: usize,
    chunks: Box<[Chunk]>,
    /// Of chunks, not of pages.
    hot: PageSet,
    /// Collections so far; it may wrap, then a chunk that was idle for all that time counts as fresh.
    now: u32,
    /// Where the next search for something to cool begins.
    hand: usize,
}

impl Heat {
    /// For a guest of `pages` pages, in at most `chunks_max` chunks: a hot one beside a cold one is a mapping of its own
    /// in QEMU.
    pub fn new(pages: usize, chunks_max: usize) -> Self {
        let chunk_pages = pages
            .div_ceil(chunks_max)
            .next_power_of_two()
            .max(CHUNK_PAGES_MIN);
        let chunks = pages.div_ceil(chunk_pages);
        Self {
            pages,
            chunk_pages,
            chunks: vec![Chunk::default(); chunks].into_boxed_slice(),
            hot: PageSet::new(chunks),
            now: 0,
            hand: 0,
        }
    }

    /// All are cold, as at first.
    pub fn forget(&mut self) {
        self.hot.clear();
        self.chunks.fill(Chunk::default());
        self.hand = 0;
    }

    /// The most pages that [`Heat::idle`] names, or that one chunk has.
    pub fn most_pages_at_once(&self) -> usize {
        self.chunk_pages * self.cooled_chunks_max()
    }

    /// The chunk that holds `page`.
    pub fn chunk_of(&self, page: usize) -> usize {
        page / self.chunk_pages
    }

    /// The pages of `chunks`.
    pub fn pages_of(&self, chunks: Range<usize>) -> Range<usize> {
        chunks.start * self.chunk_pages..(chunks.end * self.chunk_pages).min(self.pages)
    }

    /// Whether `chunk` is hot.
    pub fn is_hot(&self, chunk: usize) -> bool {
        self.hot.contains(chunk)
    }

    /// The first run of hot pages at or after `page`.
    pub fn next_hot(&self, page: usize) -> Option<Range<usize>> {
        let chunks = self
            .hot
            .next_run(page.div_ceil(self.chunk_pages), usize::MAX)?;
        Some(self.pages_of(chunks))
    }

    /// Hot pages.
    pub fn hot_pages(&self) -> usize {
        self.hot.count() * self.chunk_pages
    }

    /// The pages of `pages`, all of one temperature, with which it begins; and whether that is hot.
    pub fn split(&self, pages: Range<usize>) -> (Range<usize>, bool) {
        let chunk = self.chunk_of(pages.start);
        let is_hot = self.is_hot(chunk);
        let mut end = chunk + 1;
        while end * self.chunk_pages < pages.end && self.is_hot(end) == is_hot {
            end += 1;
        }
        (pages.start..(end * self.chunk_pages).min(pages.end), is_hot)
    }

    /// Somebody waits to write to a page of the cold `chunk`.
    pub fn write(&mut self, chunk: usize) -> Answer {
        let now = self.now;
        let chunk = &mut self.chunks[chunk];
        let half_lives = now.wrapping_sub(chunk.written_at) / HALF_LIFE;
        chunk.writes = chunk.writes.checked_shr(half_lives).unwrap_or(0) + 1;
        chunk.written_at = now;
        if chunk.writes >= HEATING_WRITES {
            Answer::Heat
        } else {
            Answer::Note
        }
    }

    /// `chunk` is hot now.
    pub fn heat(&mut self, chunk: usize) {
        self.hot.insert(chunk..chunk + 1);
        self.chunks[chunk].written_at = self.now;
    }

    /// These pages of hot chunks were found written.
    pub fn written(&mut self, pages: Range<usize>) {
        let chunks = self.chunk_of(pages.start)..pages.end.div_ceil(self.chunk_pages);
        for chunk in &mut self.chunks[chunks] {
            chunk.written_at = self.now;
        }
    }

    /// `chunks` are cold now.
    pub fn cool(&mut self, chunks: Range<usize>) {
        self.hot.remove(chunks.clone());
        self.chunks[chunks].fill(Chunk {
            written_at: self.now,
            writes: 0,
        });
    }

    /// A collection has been made.
    pub fn tick(&mut self) {
        self.now = self.now.wrapping_add(1);
    }

    /// Hot chunks that should be cold; `None` if this search, which is a bounded one, found nothing.
    pub fn idle(&mut self) -> Option<Range<usize>> {
        let mut left = SEARCH_CHUNKS.min(self.hot.count());
        while left > 0 {
            let run = self.hot.next_run(self.hand, left).or_else(|| {
                // Round again.
                self.hand = 0;
                self.hot.next_run(0, left)
            })?;
            let start = run.clone().find(|&chunk| self.is_idle(chunk));
            let Some(start) = start else {
                left -= run.len();
                self.hand = run.end;
                continue;
            };
            left -= start + 1 - run.start;
            let stretch = self.idle_stretch(start);
            self.hand = stretch.end;
            let is_gap = stretch.len() <= GAP_CHUNKS
                && stretch.start > 0
                && self.is_hot(stretch.start - 1)
                && stretch.end < self.chunks.len()
                && self.is_hot(stretch.end);
            if !is_gap {
                // From one end to the other, so that what is left is no gap.
                self.hand = stretch.end.min(stretch.start + self.cooled_chunks_max());
                return Some(stretch.start..self.hand);
            }
        }
        None
    }

    fn cooled_chunks_max(&self) -> usize {
        (COOLED_PAGES_MAX / self.chunk_pages).max(1)
    }

    fn is_idle(&self, chunk: usize) -> bool {
        self.hot.contains(chunk)
            && self.now.wrapping_sub(self.chunks[chunk].written_at) >= COOLING_AGE
    }

    /// The idle chunks around `chunk`, no more than may be cooled at once or are enough to be no gap.
    fn idle_stretch(&self, chunk: usize) -> Range<usize> {
        let most = self.cooled_chunks_max().max(GAP_CHUNKS + 1);
        let (mut start, mut end) = (chunk, chunk + 1);
        while end < self.chunks.len() && end - start < most && self.is_idle(end) {
            end += 1;
        }
        while start > 0 && end - start < most && self.is_idle(start - 1) {
            start -= 1;
        }
        start..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Write(usize),
        Collect(u8),
        Cool,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..4000usize).prop_map(Step::Write),
            2 => (1..40u8).prop_map(Step::Collect),
            1 => Just(Step::Cool),
        ]
    }

    /// As the ground does: writes to hot chunks are seen at the next collection.
    fn write(heat: &mut Heat, page: usize) {
        let chunk = heat.chunk_of(page);
        if heat.is_hot(chunk) {
            heat.written(page..page + 1);
        } else if heat.write(chunk) == Answer::Heat {
            heat.heat(chunk);
        }
    }

    fn collect(heat: &mut Heat, times: u32) {
        for _ in 0..times {
            heat.tick();
        }
    }

    fn cool_all(heat: &mut Heat) -> Vec<Range<usize>> {
        let mut cooled = Vec::new();
        while let Some(chunks) = heat.idle() {
            heat.cool(chunks.clone());
            cooled.push(chunks);
        }
        cooled
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        /// What is cooled is hot, idle for long, and bounded; splitting covers a range by temperature.
        #[test]
        fn only_what_is_hot_and_idle_is_cooled(steps in vec(step(), 1..300), from in 0..4000usize, length in 1..500usize) {
            let mut heat = Heat::new(4000, 1 << 16);
            let mut last_write = vec![None; heat.chunk_of(3999) + 1];
            let mut now = 0u32;
            for step in steps {
                match step {
                    Step::Write(page) => {
                        write(&mut heat, page);
                        last_write[heat.chunk_of(page)] = Some(now);
                    }
                    Step::Collect(times) => {
                        collect(&mut heat, u32::from(times));
                        now += u32::from(times);
                    }
                    Step::Cool => {
                        if let Some(chunks) = heat.idle() {
                            prop_assert!(heat.pages_of(chunks.clone()).len() <= heat.most_pages_at_once());
                            for chunk in chunks.clone() {
                                prop_assert!(heat.is_hot(chunk));
                                prop_assert!(last_write[chunk].is_none_or(|at| now - at >= COOLING_AGE));
                            }
                            heat.cool(chunks.clone());
                            prop_assert!(chunks.into_iter().all(|chunk| !heat.is_hot(chunk)));
                        }
                    }
                }
            }
            let range = from..(from + length).min(4000);
            let mut at = range.start;
            while at < range.end {
                let (part, is_hot) = heat.split(at..range.end);
                prop_assert!(part.start == at && part.end > at && part.end <= range.end);
                prop_assert!(part.clone().all(|page| heat.is_hot(heat.chunk_of(page)) == is_hot));
                at = part.end;
            }
            let mut hot = Vec::new();
            let mut next = 0;
            while let Some(run) = heat.next_hot(next) {
                next = run.end;
                hot.extend(run);
            }
            let expected: Vec<usize> = (0..4000).filter(|&page| heat.is_hot(heat.chunk_of(page))).collect();
            prop_assert_eq!(hot, expected);
        }

        /// Whatever was hot, a guest that writes nothing any more has nothing hot after a while.
        #[test]
        fn an_idle_guest_is_cold_in_the_end(pages in vec(0..100_000usize, 1..2000)) {
            let mut heat = Heat::new(100_000, 1 << 16);
            for page in pages {
                for _ in 0..HEATING_WRITES {
                    write(&mut heat, page);
                }
            }
            prop_assert!(heat.hot_pages() > 0);
            collect(&mut heat, COOLING_AGE);
            // A bounded search may find nothing; the next goes on where it ended.
            for _ in 0..10 {
                cool_all(&mut heat);
            }
            prop_assert_eq!(heat.hot_pages(), 0);
        }
    }

    #[test]
    fn a_burst_and_a_steady_trickle_make_a_chunk_hot_and_a_rare_write_does_not() {
        let mut heat = Heat::new(4096, 1 << 16);
        for page in [0, 1, 2, 3] {
            write(&mut heat, page);
        }
        assert!(heat.is_hot(0), "a burst");
        for _ in 0..2 * HALF_LIFE {
            write(&mut heat, 64);
            collect(&mut heat, 5);
            write(&mut heat, 128);
            collect(&mut heat, 3 * HALF_LIFE);
        }
        assert!(heat.is_hot(0) && !heat.is_hot(1) && !heat.is_hot(2), "rare");
        for _ in 0..HEATING_WRITES {
            write(&mut heat, 64);
            collect(&mut heat, 1);
        }
        assert!(heat.is_hot(1), "in every collection");
    }

    #[test]
    fn a_short_idle_gap_between_hot_chunks_stays_and_a_long_one_does_not() {
        let mut heat = Heat::new(64 * 100, 1 << 16);
        (0..100).for_each(|chunk| heat.heat(chunk));
        let busy = |chunk: usize| chunk < 20 || chunk == 20 + GAP_CHUNKS || chunk > 60;
        for _ in 0..COOLING_AGE {
            heat.tick();
            for chunk in (0..100).filter(|&chunk| busy(chunk)) {
                heat.written(heat.pages_of(chunk..chunk + 1));
            }
        }
        cool_all(&mut heat);
        let cold: Vec<usize> = (0..100).filter(|&chunk| !heat.is_hot(chunk)).collect();
        assert_eq!(cold, (21 + GAP_CHUNKS..=60).collect::<Vec<_>>());
    }

    #[test]
    fn chunks_grow_with_ram_so_that_their_number_is_bounded() {
        for (mib, chunks_max, chunk_pages) in [
            (128, 57_344, 64),
            (4096, 57_344, 64),
            (16_384, 57_344, 128),
            (1 << 20, 57_344, 8192),
        ] {
            let heat = Heat::new(mib * 256, chunks_max);
            assert_eq!(heat.chunk_pages, chunk_pages, "{mib} MiB");
            assert!(heat.chunks.len() <= chunks_max);
        }
    }
}
