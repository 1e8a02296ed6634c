//! What the secondary has of the pages that are written again and again, and of the device state, so that only the changes
//! are sent.
//!
//! A page is noted with what the acknowledged transaction says of it. There is one at a time, and the next is made only
//! after its ack: when a base is used, the secondary has committed it. A transaction that fails takes its connection with
//! it, and every connection begins with nothing noted.

use std::io;

use crate::limits::{PAGE_BYTES, Sizes};
use crate::sys::memory::PrefaultedBuffer;
use crate::wire::{Base, CapturedRun, DeviceBase, device_state_hash, page_hash};

/// Places that a page can be in.
const WAYS: usize = 4;

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    page: Option<u64>,
    hash: u64,
    /// The epoch's number here in which it was written last.
    noted_at: u64,
}

/// A bounded cache of pages; the ones that were not written for longest give way.
#[derive(Debug)]
pub struct Shadow {
    contents: PrefaultedBuffer,
    entries: Box<[Entry]>,
    now: u64,
    device_state: Vec<u8>,
    device_state_hash: Option<u64>,
}

impl Shadow {
    /// Takes its memory.
    ///
    /// # Errors
    /// If that is not to be had.
    pub fn new(sizes: Sizes) -> io::Result<Self> {
        let pages = sizes.shadow_pages;
        Ok(Self {
            contents: PrefaultedBuffer::new(pages * PAGE_BYTES)?,
            entries: vec![Entry::default(); pages].into_boxed_slice(),
            now: 0,
            device_state: Vec::with_capacity(sizes.device_state_bytes),
            device_state_hash: None,
        })
    }

    /// Forgets everything: the secondary may have something else.
    pub fn forget(&mut self) {
        self.forget_pages();
        self.device_state_hash = None;
    }

    /// Forgets the pages.
    pub fn forget_pages(&mut self) {
        if self.now > 0 {
            self.entries.fill(Entry::default());
            self.now = 0;
        }
    }

    /// What the secondary has as device state, if that is known.
    pub fn device_state(&self) -> Option<DeviceBase<'_>> {
        self.device_state_hash.map(|hash| DeviceBase {
            bytes: &self.device_state,
            hash,
        })
    }

    /// Notes the device state of the transaction that has just been acknowledged.
    pub fn note_device_state(&mut self, state: &[u8]) {
        self.device_state.clear();
        self.device_state.extend_from_slice(state);
        self.device_state_hash = Some(device_state_hash(state));
    }

    /// What the secondary has of `page`, if that is known.
    pub fn base(&self, page: u64) -> Option<Base<'_>> {
        let place = self.find(page)?;
        let (pages, _) = self.contents.as_chunks::<PAGE_BYTES>();
        Some(Base {
            bytes: &pages[place],
            hash: self.entries[place].hash,
        })
    }

    /// Notes all pages of the transaction that was made from `runs` of `body` and has just been acknowledged.
    pub fn note(&mut self, body: &[u8], runs: &[CapturedRun]) {
        self.now += 1;
        let total: usize = runs.iter().map(|run| run.pages as usize).sum();
        // Pages of an epoch that is larger would push each other out.
        let is_small = total <= self.entries.len() / 2;
        for run in runs {
            let (pages, _) = body[run.body_offset..][..run.pages as usize * PAGE_BYTES]
                .as_chunks::<PAGE_BYTES>();
            for (page, bytes) in (run.first_page..).zip(pages) {
                if is_small {
                    self.put(page, bytes);
                } else if let Some(place) = self.find(page) {
                    self.entries[place] = Entry::default();
                }
            }
        }
    }

    fn put(&mut self, page: u64, bytes: &[u8; PAGE_BYTES]) {
        let place = self.find(page).unwrap_or_else(|| self.oldest(page));
        self.contents[place * PAGE_BYTES..][..PAGE_BYTES].copy_from_slice(bytes);
        self.entries[place] = Entry {
            page: Some(page),
            hash: page_hash(bytes),
            noted_at: self.now,
        };
    }

    fn find(&self, page: u64) -> Option<usize> {
        self.places(page)
            .find(|&place| self.entries[place].page == Some(page))
    }

    fn oldest(&self, page: u64) -> usize {
        self.places(page)
            .min_by_key(|&place| self.entries[place].noted_at)
            .expect("a page has places")
    }

    /// Neighbours, which are often written together, do not compete.
    fn places(&self, page: u64) -> std::ops::Range<usize> {
        let sets = (self.entries.len() / WAYS) as u64;
        let first = usize::try_from(page % sets).expect("small") * WAYS;
        first..first + WAYS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn note(shadow: &mut Shadow, pages: &[(u64, u8)]) {
        let body: Vec<u8> = pages
            .iter()
            .flat_map(|&(_, value)| [value; PAGE_BYTES])
            .collect();
        let run = |(index, &(first_page, _)): (usize, &(u64, u8))| CapturedRun {
            first_page,
            pages: 1,
            body_offset: index * PAGE_BYTES,
        };
        let runs: Vec<_> = pages.iter().enumerate().map(run).collect();
        shadow.note(&body, &runs);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]
        /// A base is what was noted last, or there is none.
        #[test]
        fn a_base_is_never_older_than_the_last_note(epochs in vec(vec((0..6000u64, any::<u8>()), 1..40), 1..40)) {
            let (mut shadow, mut model) = (Shadow::new(Sizes::FULL).expect("memory"), BTreeMap::new());
            for epoch in epochs {
                let epoch: BTreeMap<u64, u8> = epoch.into_iter().collect();
                let pages: Vec<_> = epoch.into_iter().collect();
                note(&mut shadow, &pages);
                model.extend(pages);
                for (page, value) in &model {
                    if let Some(base) = shadow.base(*page) {
                        prop_assert_eq!(base.bytes, &[*value; PAGE_BYTES]);
                        prop_assert_eq!(base.hash, page_hash(base.bytes));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_written_in_every_epoch_stays_whatever_else_is_written() {
        let mut shadow = Shadow::new(Sizes::FULL).expect("memory");
        for epoch in 0..100u8 {
            let other = 10_000 + u64::from(epoch) * 200;
            let mut pages = vec![(5, epoch), (6, epoch)];
            pages.extend((other..other + 200).map(|page| (page, 1)));
            note(&mut shadow, &pages);
            assert!(shadow.base(5).is_some() && shadow.base(6).is_some());
        }
        shadow.forget();
        assert!(shadow.base(5).is_none());
    }

    #[test]
    fn the_device_state_is_a_base_until_it_is_forgotten() {
        let mut shadow = Shadow::new(Sizes::FULL).expect("memory");
        assert!(shadow.device_state().is_none());
        for state in [&[1; 900][..], &[2; 300]] {
            shadow.note_device_state(state);
            let base = shadow.device_state().expect("noted");
            assert_eq!((base.bytes, base.hash), (state, device_state_hash(state)));
        }
        shadow.forget();
        assert!(shadow.device_state().is_none());
    }

    #[test]
    fn an_epoch_too_large_to_note_makes_what_is_noted_of_its_pages_worthless() {
        let mut shadow = Shadow::new(Sizes::FULL).expect("memory");
        note(&mut shadow, &[(5, 1), (60_000, 1)]);
        let large: Vec<_> = (0..Sizes::FULL.shadow_pages as u64)
            .map(|page| (page, 2))
            .collect();
        note(&mut shadow, &large);
        assert!(shadow.base(5).is_none());
        assert!(shadow.base(60_000).is_some());
    }
}
