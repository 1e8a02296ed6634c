//! Checkpoints as they are captured, for the benchmarks.

// Each benchmark uses a part of it.
#![allow(dead_code)]

use std::ops::Range;

use kemari_engine::limits::PAGE_BYTES;
use kemari_engine::wire::CapturedRun;

/// Pages of the guest.
pub const GUEST_PAGES: u64 = 65_536;
/// Size of a small machine's device state.
const DEVICE_STATE_BYTES: usize = 24 << 10;

/// What an epoch's pages are like.
#[derive(Debug, Clone, Copy)]
pub enum Contents {
    /// Like nothing that the secondary has.
    New,
    /// A few bytes differ from what the secondary has.
    Changed,
    /// Empty.
    Zero,
}

impl Contents {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::New, Self::Changed, Self::Zero];

    /// For the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Zero => "zero",
        }
    }
}

/// A captured epoch in the staging area.
pub struct Capture {
    /// Pages, and the device state after them.
    pub body: Vec<u8>,
    /// Where the pages are from, in runs of a few.
    pub runs: Vec<CapturedRun>,
    /// Where the device state lies.
    pub device_state: Range<usize>,
    /// What the secondary has of each page.
    pub bases: Vec<u8>,
}

impl Capture {
    /// One of `pages` pages.
    pub fn new(pages: usize, contents: Contents) -> Self {
        let bases = noise(pages * PAGE_BYTES, 1);
        let mut body = match contents {
            Contents::New => noise(pages * PAGE_BYTES, 2),
            Contents::Changed => bases.clone(),
            Contents::Zero => vec![0; pages * PAGE_BYTES],
        };
        if matches!(contents, Contents::Changed) {
            for page in body.chunks_mut(PAGE_BYTES) {
                for place in [8, 1000, 2048, 4000] {
                    page[place] ^= 0x55;
                }
            }
        }
        let runs = (0..pages)
            .step_by(4)
            .map(|first| CapturedRun {
                // Runs are apart from each other.
                first_page: (first * 3) as u64,
                pages: u32::try_from((pages - first).min(4)).expect("small"),
                body_offset: first * PAGE_BYTES,
            })
            .collect();
        let device_state = body.len()..body.len() + DEVICE_STATE_BYTES;
        body.extend_from_slice(&noise(DEVICE_STATE_BYTES, 3));
        Self {
            body,
            runs,
            device_state,
            bases,
        }
    }

    /// What the secondary has of page `number`.
    pub fn base(&self, number: u64) -> &[u8; PAGE_BYTES] {
        let number = usize::try_from(number).expect("small");
        // As the runs are laid out.
        let index = number / 12 * 4 + number % 12;
        let (pages, _) = self.bases.as_chunks();
        &pages[index]
    }
}

/// Bytes that no two places have alike.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed);
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}
