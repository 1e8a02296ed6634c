//! The payload of `Pages` and `SyncPages`.
//!
//! ```text
//! u32 run_count, run_count × { u64 first_page, u32 pages, u32 kind (0 raw, 1 zero) }, then the raw pages in order
//! ```
//! A page may occur more than once in a transaction: runs are applied in order, the last one counts.

use thiserror::Error;

use super::cursor::Cursor;
use super::limits::{MAX_RAW_PAGES_PER_FRAME, MAX_RUNS_PER_FRAME, PAGE_BYTES};

pub(super) const KIND_RAW: u32 = 0;
pub(super) const KIND_ZERO: u32 = 1;
pub(super) const RUN_BYTES: usize = 16;

/// What is wrong with a table of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PagesError {
    /// The payload ends within its table.
    #[error("page table of {expected} runs does not fit into the payload of {found} bytes")]
    TableTorn {
        /// Runs announced.
        expected: u32,
        /// Length of the payload, bytes.
        found: usize,
    },
    /// No run, or more than the bound.
    #[error("page table has {found} runs, expected 1 to {MAX_RUNS_PER_FRAME}")]
    RunCount {
        /// Runs announced.
        found: u32,
    },
    /// A run of no pages.
    #[error("run at page {first_page} has no pages")]
    EmptyRun {
        /// First page of the run.
        first_page: u64,
    },
    /// A run beyond the end of the guest's RAM.
    #[error(
        "run of {pages} pages at page {first_page} ends beyond the guest's {guest_pages} pages"
    )]
    BeyondGuest {
        /// First page of the run.
        first_page: u64,
        /// Length of the run, pages.
        pages: u32,
        /// The guest's RAM, pages.
        guest_pages: u64,
    },
    /// A kind of run that this version does not have.
    #[error("run at page {first_page} has kind {found}, expected 0 (raw) or 1 (zero)")]
    Kind {
        /// First page of the run.
        first_page: u64,
        /// The kind found.
        found: u32,
    },
    /// The contents do not match the table.
    #[error("page contents are {found} bytes, expected {expected}")]
    Contents {
        /// Bytes that the table promises.
        expected: u64,
        /// Bytes that follow the table.
        found: usize,
    },
}

/// What a run's pages hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// These bytes, `pages` × 4096 of them.
    Raw(&'a [u8]),
    /// Nothing but zeros.
    Zero,
}

/// Pages that follow each other in the guest's RAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRun<'a> {
    /// Number of the first page (offset in the RAM file / 4096).
    pub first_page: u64,
    /// Number of pages, at least 1.
    pub pages: u32,
    /// What they hold.
    pub content: Content<'a>,
}

/// The runs of one checked payload, in order.
#[derive(Debug, Clone)]
pub struct PageRuns<'a> {
    table: Cursor<'a>,
    contents: Cursor<'a>,
}

impl<'a> PageRuns<'a> {
    /// Checks a payload against the size of the guest.
    ///
    /// # Errors
    /// [`PagesError`] if the table is not well-formed, leaves the guest's RAM or does not match the contents.
    pub fn decode(payload: &'a [u8], guest_pages: u64) -> Result<Self, PagesError> {
        let mut cursor = Cursor::new(payload);
        let torn = |expected| PagesError::TableTorn {
            expected,
            found: payload.len(),
        };
        let count = cursor.u32().ok_or(torn(0))?;
        if count == 0 || count as usize > MAX_RUNS_PER_FRAME {
            return Err(PagesError::RunCount { found: count });
        }
        let table = Cursor::new(cursor.take(count as usize * RUN_BYTES).ok_or(torn(count))?);
        let runs = Self {
            table,
            contents: cursor,
        };

        let mut raw_pages: u64 = 0;
        let mut entries = table;
        while let Some((first_page, pages, kind)) = entry(&mut entries) {
            if pages == 0 {
                return Err(PagesError::EmptyRun { first_page });
            }
            if first_page
                .checked_add(u64::from(pages))
                .is_none_or(|end| end > guest_pages)
            {
                return Err(PagesError::BeyondGuest {
                    first_page,
                    pages,
                    guest_pages,
                });
            }
            match kind {
                KIND_RAW => raw_pages += u64::from(pages),
                KIND_ZERO => {}
                found => return Err(PagesError::Kind { first_page, found }),
            }
        }
        // At most 1024 runs of less than 2^32 pages: the product stays far below 2^64.
        let expected = raw_pages * PAGE_BYTES as u64;
        let found = cursor.rest().len();
        if found as u64 != expected || found > MAX_RAW_PAGES_PER_FRAME * PAGE_BYTES {
            return Err(PagesError::Contents { expected, found });
        }
        Ok(runs)
    }

    /// A payload that `decode` has accepted before.
    pub(super) fn of_checked(payload: &'a [u8]) -> Self {
        let mut contents = Cursor::new(payload);
        let table_bytes = contents.u32().unwrap_or(0) as usize * RUN_BYTES;
        let table = contents.take(table_bytes).unwrap_or_default();
        Self {
            table: Cursor::new(table),
            contents,
        }
    }

    /// Number of pages in all remaining runs, zero pages included.
    pub fn pages(&self) -> u64 {
        self.clone().map(|run| u64::from(run.pages)).sum()
    }
}

impl<'a> Iterator for PageRuns<'a> {
    type Item = PageRun<'a>;

    fn next(&mut self) -> Option<PageRun<'a>> {
        let (first_page, pages, kind) = entry(&mut self.table)?;
        let content = if kind == KIND_ZERO {
            Content::Zero
        } else {
            Content::Raw(self.contents.take(pages as usize * PAGE_BYTES)?)
        };
        Some(PageRun {
            first_page,
            pages,
            content,
        })
    }
}

fn entry(table: &mut Cursor<'_>) -> Option<(u64, u32, u32)> {
    Some((table.u64()?, table.u32()?, table.u32()?))
}

/// Whether a page holds nothing but zeros. Leaves at the first block that does not.
pub(super) fn is_zero(page: &[u8]) -> bool {
    let (blocks, rest) = page.as_chunks::<128>();
    debug_assert!(rest.is_empty(), "a page is a multiple of 128 bytes");
    blocks.iter().all(|block| {
        let (words, _) = block.as_chunks::<8>();
        words
            .iter()
            .fold(0, |all, word| all | u64::from_ne_bytes(*word))
            == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(runs: &[(u64, u32, u32)], contents: usize) -> Vec<u8> {
        let mut bytes = u32::try_from(runs.len())
            .expect("few")
            .to_le_bytes()
            .to_vec();
        for (first_page, pages, kind) in runs {
            bytes.extend_from_slice(&first_page.to_le_bytes());
            bytes.extend_from_slice(&pages.to_le_bytes());
            bytes.extend_from_slice(&kind.to_le_bytes());
        }
        bytes.resize(bytes.len() + contents, 7);
        bytes
    }

    #[test]
    fn runs_come_back_in_order_with_their_contents() {
        let bytes = payload(
            &[(3, 2, KIND_RAW), (0, 3, KIND_ZERO), (4, 1, KIND_RAW)],
            3 * PAGE_BYTES,
        );
        let runs: Vec<_> = PageRuns::decode(&bytes, 5).expect("well-formed").collect();
        assert_eq!(runs.len(), 3);
        assert_eq!(
            runs[0],
            PageRun {
                first_page: 3,
                pages: 2,
                content: Content::Raw(&[7; 2 * PAGE_BYTES])
            }
        );
        assert_eq!(
            runs[1],
            PageRun {
                first_page: 0,
                pages: 3,
                content: Content::Zero
            }
        );
        assert_eq!(
            runs[2],
            PageRun {
                first_page: 4,
                pages: 1,
                content: Content::Raw(&[7; PAGE_BYTES])
            }
        );
    }

    #[test]
    fn a_run_may_not_leave_the_guest_not_even_by_overflow() {
        for first_page in [5, u64::MAX, u64::MAX - 1] {
            let error = PageRuns::decode(&payload(&[(first_page, 1, KIND_ZERO)], 0), 5)
                .expect_err("outside");
            assert_eq!(
                error,
                PagesError::BeyondGuest {
                    first_page,
                    pages: 1,
                    guest_pages: 5
                }
            );
        }
        let error =
            PageRuns::decode(&payload(&[(1, u32::MAX, KIND_ZERO)], 0), 5).expect_err("outside");
        assert_eq!(
            error,
            PagesError::BeyondGuest {
                first_page: 1,
                pages: u32::MAX,
                guest_pages: 5
            }
        );
    }

    #[test]
    fn contents_must_match_the_table_exactly() {
        for contents in [0, PAGE_BYTES - 1, PAGE_BYTES + 1, 2 * PAGE_BYTES] {
            let error =
                PageRuns::decode(&payload(&[(0, 1, KIND_RAW)], contents), 5).expect_err("mismatch");
            assert_eq!(
                error,
                PagesError::Contents {
                    expected: PAGE_BYTES as u64,
                    found: contents
                }
            );
        }
    }

    #[test]
    fn malformed_tables_are_refused_by_name() {
        let decode = |bytes: &[u8]| PageRuns::decode(bytes, 5).expect_err("malformed");
        assert_eq!(
            decode(&[]),
            PagesError::TableTorn {
                expected: 0,
                found: 0
            }
        );
        assert_eq!(decode(&[0; 4]), PagesError::RunCount { found: 0 });
        assert_eq!(
            decode(&[1, 0, 0, 0, 9]),
            PagesError::TableTorn {
                expected: 1,
                found: 5
            }
        );
        assert_eq!(decode(&[255; 4]), PagesError::RunCount { found: u32::MAX });
        assert_eq!(
            decode(&payload(&[(1, 0, KIND_RAW)], 0)),
            PagesError::EmptyRun { first_page: 1 }
        );
        assert_eq!(
            decode(&payload(&[(1, 1, 2)], 0)),
            PagesError::Kind {
                first_page: 1,
                found: 2
            }
        );
    }

    #[test]
    fn one_bit_anywhere_makes_a_page_not_zero() {
        let mut page = [0; PAGE_BYTES];
        assert!(is_zero(&page));
        for at in 0..PAGE_BYTES {
            page[at] = 1;
            assert!(!is_zero(&page), "byte {at}");
            page[at] = 0;
        }
    }
}
