//! Where captured pages and the device state lie until the secondary has them. Allocated once and touched at the start:
//! nothing is allocated while the guest is paused.

use std::io;
use std::ops::Range;

use crate::guest::pages::PageSet;
use crate::guest::{GuestError, Vm};
use crate::limits::{PAGE_BYTES, Sizes};
use crate::sys::memory::PrefaultedBuffer;
use crate::wire::CapturedRun;

/// The staging area; frames on the wire refer to it, so it must not change while any of them is unsent.
#[derive(Debug)]
pub struct Staging {
    buffer: PrefaultedBuffer,
    pages: usize,
    runs: Vec<CapturedRun>,
    device_state: Range<usize>,
}

impl Staging {
    /// Allocates it.
    ///
    /// # Errors
    /// If the memory is not to be had.
    pub fn new(sizes: Sizes) -> io::Result<Self> {
        let pages = sizes.staging_pages;
        Ok(Self {
            buffer: PrefaultedBuffer::new(pages * PAGE_BYTES + sizes.device_state_bytes)?,
            pages,
            runs: Vec::with_capacity(pages),
            device_state: 0..0,
        })
    }

    /// Pages that it can hold.
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// Has `capture` copy pages of `pages` from number `from` on, at most `most` of them, to the start of the area; returns
    /// the page after the last one copied, or `None` if there was none to copy. `capture` is given an offset in RAM.
    ///
    /// # Panics
    /// If `most` is beyond [`Staging::pages`].
    pub fn copy(
        &mut self,
        mut capture: impl FnMut(usize, &mut [u8]),
        pages: &PageSet,
        from: usize,
        most: usize,
    ) -> Option<usize> {
        debug_assert!(most <= self.pages);
        self.runs.clear();
        let (mut next, mut copied, mut last) = (from, 0, None);
        while copied < most {
            let Some(run) = pages.next_run(next, most - copied) else {
                break;
            };
            let offset = copied * PAGE_BYTES;
            let bytes = run.len() * PAGE_BYTES;
            capture(
                run.start * PAGE_BYTES,
                &mut self.buffer[offset..offset + bytes],
            );
            self.runs.push(CapturedRun {
                first_page: run.start as u64,
                pages: u32::try_from(run.len()).expect("bounded by the staging area"),
                body_offset: offset,
            });
            copied += run.len();
            next = run.end;
            last = Some(run.end);
        }
        last
    }

    /// What was copied last.
    pub fn runs(&self) -> &[CapturedRun] {
        &self.runs
    }

    /// Reads the device state that QEMU has saved; returns where it lies in the body.
    ///
    /// # Errors
    /// A [`GuestError`]; so is a state beyond [`Sizes::device_state_bytes`].
    pub fn read_device_state(&mut self, guest: &mut impl Vm) -> Result<Range<usize>, GuestError> {
        let start = self.pages * PAGE_BYTES;
        let length = guest.read_device_state(&mut self.buffer[start..])?;
        self.device_state = start..start + length;
        Ok(self.device_state.clone())
    }

    /// The device state that was read last.
    pub fn device_state(&self) -> &[u8] {
        &self.buffer[self.device_state.clone()]
    }

    /// The bytes that frames refer to.
    pub fn body(&self) -> &[u8] {
        &self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory::{MemoryFile, SharedMapping};

    #[test]
    fn a_set_larger_than_the_area_is_copied_in_parts() {
        let file = MemoryFile::create("ram", 64 * PAGE_BYTES).expect("memfd");
        let mut ram = SharedMapping::new(&file).expect("map");
        for page in 0..64u8 {
            ram.copy_in(usize::from(page) * PAGE_BYTES, &[page; PAGE_BYTES]);
        }
        let mut pages = PageSet::new(64);
        pages.insert(3..20);
        pages.insert(60..64);
        let mut staging = Staging::new(Sizes::FULL).expect("staging");
        let (mut from, mut seen) = (0, Vec::new());
        while let Some(next) =
            staging.copy(|offset, into| ram.copy_out(offset, into), &pages, from, 5)
        {
            for run in staging.runs() {
                for index in 0..run.pages as usize {
                    let at = run.body_offset + index * PAGE_BYTES;
                    let page = usize::try_from(run.first_page).expect("small") + index;
                    assert!(
                        staging.body()[at..at + PAGE_BYTES]
                            .iter()
                            .all(|&byte| usize::from(byte) == page)
                    );
                    seen.push(page);
                }
            }
            from = next;
        }
        assert_eq!(seen, pages.runs().flatten().collect::<Vec<_>>());
    }
}
