//! One `Pages` or `SyncPages` frame while it is put together.

use std::ops::Range;

use super::limits::{MAX_RAW_PAGES_PER_FRAME, MAX_RUNS_PER_FRAME, PAGE_BYTES};
use super::pages::{KIND_RAW, KIND_ZERO};

/// The run that still grows.
#[derive(Debug, Clone, Copy)]
struct OpenRun {
    first_page: u64,
    pages: u32,
    kind: u32,
}

/// The table goes to the outgoing head as it grows; the raw pages stay in the body and are listed here.
#[derive(Debug, Default)]
pub(super) struct PageFrame {
    open: Option<OpenRun>,
    runs: u32,
    raw_pages: usize,
    pages: u64,
    /// Where the raw pages are in the body, in order.
    pub(super) ranges: Vec<Range<usize>>,
}

impl PageFrame {
    /// Takes the memory for the most ranges, unless it is there.
    pub(super) fn reserve(&mut self) {
        self.ranges.reserve(MAX_RAW_PAGES_PER_FRAME);
    }

    /// Starts over, keeping its memory.
    pub(super) fn restart(&mut self) {
        self.open = None;
        self.runs = 0;
        self.raw_pages = 0;
        self.pages = 0;
        self.ranges.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_none()
    }

    /// Pages in the frame, zero pages included.
    pub(super) fn pages(&self) -> u64 {
        self.pages
    }

    /// Runs in the frame, without the one that is still open.
    pub(super) fn runs(&self) -> u32 {
        self.runs
    }

    /// Adds a page. `false`: there is no room; close this frame and add the page to the next.
    pub(super) fn add(
        &mut self,
        head: &mut Vec<u8>,
        page: u64,
        body_offset: usize,
        zero: bool,
    ) -> bool {
        if !zero && self.raw_pages == MAX_RAW_PAGES_PER_FRAME {
            return false;
        }
        let kind = if zero { KIND_ZERO } else { KIND_RAW };
        match &mut self.open {
            Some(run) if run.kind == kind && follows(run, page) => run.pages += 1,
            _ => {
                // One place is kept for the run that this page opens.
                if self.runs as usize + 1 == MAX_RUNS_PER_FRAME {
                    return false;
                }
                self.close_run(head);
                self.open = Some(OpenRun {
                    first_page: page,
                    pages: 1,
                    kind,
                });
            }
        }
        self.pages += 1;
        if !zero {
            self.raw_pages += 1;
            let range = body_offset..body_offset + PAGE_BYTES;
            match self.ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => self.ranges.push(range),
            }
        }
        true
    }

    /// Writes the open run into the table.
    pub(super) fn close_run(&mut self, head: &mut Vec<u8>) {
        if let Some(run) = self.open.take() {
            head.extend_from_slice(&run.first_page.to_le_bytes());
            head.extend_from_slice(&run.pages.to_le_bytes());
            head.extend_from_slice(&run.kind.to_le_bytes());
            self.runs += 1;
        }
    }
}

fn follows(run: &OpenRun, page: u64) -> bool {
    run.pages < u32::MAX && run.first_page + u64::from(run.pages) == page
}
