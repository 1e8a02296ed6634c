//! Frames of pages.

use std::mem;

use super::super::deltas::{Base, Difference};
use super::super::frame::FrameKind;
use super::super::limits::{HEADER_BYTES, PAGE_BYTES};
use super::super::pages::is_zero;
use super::{CapturedRun, Encoder, Place};

impl Encoder<'_> {
    pub(super) fn page_frames<'b>(
        &mut self,
        kind: FrameKind,
        place: Place,
        body: &[u8],
        runs: &[CapturedRun],
        bases: impl Fn(u64) -> Option<Base<'b>>,
    ) -> u64 {
        let before = self.plain_page_bytes();
        let mut header_at = self.open_page_frame();
        for run in runs {
            let bytes = &body[run.body_offset..][..run.pages as usize * PAGE_BYTES];
            let (pages, _) = bytes.as_chunks::<PAGE_BYTES>();
            for ((page, offset), contents) in (run.first_page..)
                .zip((run.body_offset..).step_by(PAGE_BYTES))
                .zip(pages)
            {
                let zero = is_zero(contents);
                if !zero
                    && let Some(base) = bases(page)
                    && self.direction.deltas.add(page, base, contents) != Difference::Whole
                {
                    continue;
                }
                if !self
                    .direction
                    .page_frame
                    .add(&mut self.outgoing.head, page, offset, zero)
                {
                    self.finish_pages(kind, place, header_at, body);
                    header_at = self.open_page_frame();
                    let added =
                        self.direction
                            .page_frame
                            .add(&mut self.outgoing.head, page, offset, zero);
                    assert!(added, "an empty frame has room for a page");
                }
            }
        }
        if self.direction.page_frame.is_empty() {
            self.outgoing.head.truncate(header_at);
        } else {
            self.finish_pages(kind, place, header_at, body);
        }
        self.plain_page_bytes() - before
    }

    fn plain_page_bytes(&self) -> u64 {
        self.direction.plain_page_bytes + self.direction.deltas.bytes() as u64
    }

    fn open_page_frame(&mut self) -> usize {
        self.direction.page_frame.restart();
        let header_at = self.reserve_header();
        self.outgoing.head.extend_from_slice(&[0; 4]);
        header_at
    }

    fn finish_pages(&mut self, kind: FrameKind, place: Place, header_at: usize, body: &[u8]) {
        let frame = &mut self.direction.page_frame;
        frame.close_run(&mut self.outgoing.head);
        let table = &mut self.outgoing.head[header_at + HEADER_BYTES..];
        table[..4].copy_from_slice(&frame.runs().to_le_bytes());
        let ranges = mem::take(&mut frame.ranges);
        let in_body: usize = ranges.iter().map(std::ops::Range::len).sum();
        let bytes = self.outgoing.head.len() - header_at + in_body;
        self.direction.plain_page_bytes += bytes as u64;
        let pages = frame.pages();
        self.finish_bulk(kind, place, header_at, body, &ranges);
        self.direction.page_frame.ranges = ranges;
        if kind == FrameKind::Pages {
            self.direction.tally.pages += pages;
        }
    }
}
