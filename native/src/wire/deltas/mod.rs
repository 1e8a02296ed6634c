//! The payload of `Deltas`: pages of the transaction as what has changed in them since the epoch before.
//!
//! ```text
//! u32 count, count × { u64 page, u64 base_hash, u32 patch_bytes, patch }, pages ascending
//! patch: { u16 offset, u16 length, length bytes } one or more times, ascending
//! ```
//! `base_hash` is the xxh3-64 of the whole page as the secondary has it. A secondary that has something else must not
//! acknowledge the transaction: what the page would become is not the guest's.

mod frame;

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use super::cursor::Cursor;
use super::limits::PAGE_BYTES;

pub(super) use frame::{DeltaFrame, Difference};

const ENTRY_BYTES: usize = 20;
const PIECE_BYTES: usize = 4;

/// The hash by which both sides know that they mean the same page.
pub fn page_hash(page: &[u8; PAGE_BYTES]) -> u64 {
    xxh3_64(page)
}

/// What the secondary has of a page.
#[derive(Debug, Clone, Copy)]
pub struct Base<'a> {
    /// Its contents.
    pub bytes: &'a [u8; PAGE_BYTES],
    /// Their [`page_hash`].
    pub hash: u64,
}

/// What is wrong with a list of deltas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DeltasError {
    /// A list of no deltas.
    #[error("a list of deltas without a delta")]
    Empty,
    /// The payload ends before the announced deltas do, or goes on after them.
    #[error("deltas end within delta {index} of {count}, or bytes follow the last")]
    Torn {
        /// The delta, from 0.
        index: u32,
        /// Deltas announced.
        count: u32,
    },
    /// A page beyond the end of the guest's RAM.
    #[error("delta of page {page}, beyond the guest's {guest_pages} pages")]
    BeyondGuest {
        /// The page.
        page: u64,
        /// The guest's RAM, pages.
        guest_pages: u64,
    },
    /// Pages are not in ascending order, or one comes twice.
    #[error("delta of page {page} after that of page {before}")]
    Order {
        /// The page before it.
        before: u64,
        /// The page.
        page: u64,
    },
    /// A patch that changes nothing, or leaves its page, or goes back.
    #[error("the patch of page {page} is malformed")]
    Patch {
        /// The page.
        page: u64,
    },
}

/// One page's change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delta<'a> {
    /// Number of the page.
    pub page: u64,
    /// Hash of what is changed.
    pub base_hash: u64,
    patch: &'a [u8],
}

impl<'a> Delta<'a> {
    /// Where in the page which bytes go.
    pub fn pieces(&self) -> impl Iterator<Item = (usize, &'a [u8])> + use<'a> {
        let mut rest = Cursor::new(self.patch);
        std::iter::from_fn(move || piece(&mut rest))
    }
}

fn piece<'a>(rest: &mut Cursor<'a>) -> Option<(usize, &'a [u8])> {
    let (offset, length) = (rest.u16()?, rest.u16()?);
    Some((usize::from(offset), rest.take(usize::from(length))?))
}

fn entry<'a>(rest: &mut Cursor<'a>) -> Option<Delta<'a>> {
    let (page, base_hash, patch_bytes) = (rest.u64()?, rest.u64()?, rest.u32()?);
    Some(Delta {
        page,
        base_hash,
        patch: rest.take(usize::try_from(patch_bytes).ok()?)?,
    })
}

fn is_well_formed(delta: &Delta<'_>) -> bool {
    let (mut rest, mut from) = (Cursor::new(delta.patch), 0);
    while !rest.rest().is_empty() {
        match piece(&mut rest) {
            Some((offset, bytes))
                if offset >= from && !bytes.is_empty() && offset + bytes.len() <= PAGE_BYTES =>
            {
                from = offset + bytes.len();
            }
            _ => return false,
        }
    }
    from > 0
}

/// The deltas of one checked payload, in order.
#[derive(Debug, Clone)]
pub struct Deltas<'a> {
    rest: Cursor<'a>,
}

impl<'a> Deltas<'a> {
    /// Checks a payload against the size of the guest; returns the deltas and how many there are.
    ///
    /// # Errors
    /// [`DeltasError`] if the list is not well-formed or leaves the guest's RAM.
    pub fn decode(payload: &'a [u8], guest_pages: u64) -> Result<(Self, u32), DeltasError> {
        let mut rest = Cursor::new(payload);
        let count = rest.u32().filter(|&count| count > 0);
        let count = count.ok_or(DeltasError::Empty)?;
        let checked = Self { rest };
        let mut before = None;
        for index in 0..count {
            let delta = entry(&mut rest).ok_or(DeltasError::Torn { index, count })?;
            let page = delta.page;
            if page >= guest_pages {
                return Err(DeltasError::BeyondGuest { page, guest_pages });
            }
            if let Some(before) = before.replace(page).filter(|&before| before >= page) {
                return Err(DeltasError::Order { before, page });
            }
            if !is_well_formed(&delta) {
                return Err(DeltasError::Patch { page });
            }
        }
        if rest.rest().is_empty() {
            Ok((checked, count))
        } else {
            Err(DeltasError::Torn {
                index: count,
                count,
            })
        }
    }

    /// A payload that `decode` has accepted before, or none.
    pub(super) fn of_checked(payload: &'a [u8]) -> Self {
        let mut rest = Cursor::new(payload);
        let _count = rest.u32();
        Self { rest }
    }
}

impl<'a> Iterator for Deltas<'a> {
    type Item = Delta<'a>;

    fn next(&mut self) -> Option<Delta<'a>> {
        entry(&mut self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_list_of_random_bytes_panics(payload in vec(any::<u8>(), 0..200), count in 0..3u8) {
            let mut structured = vec![count, 0, 0, 0];
            structured.extend(&payload);
            for bytes in [payload, structured] {
                if let Ok((deltas, _)) = Deltas::decode(&bytes, 1 << 40) {
                    for (offset, bytes) in deltas.flat_map(|delta| delta.pieces().collect::<Vec<_>>()) {
                        prop_assert!(offset + bytes.len() <= PAGE_BYTES);
                    }
                }
            }
        }
    }

    fn list(page: u64, patch: &[u8]) -> Vec<u8> {
        let length = u32::try_from(patch.len()).expect("short");
        let head = [&1u32.to_le_bytes()[..], &page.to_le_bytes(), &[0; 8]].concat();
        [&head[..], &length.to_le_bytes(), patch].concat()
    }

    #[test]
    fn a_patch_may_not_leave_its_page_nor_a_delta_the_guest() {
        let decode = |payload: &[u8]| Deltas::decode(payload, 5).map(|(_, count)| count);
        assert_eq!(decode(&list(4, &[0, 0, 1, 0, 9])), Ok(1));
        assert_eq!(
            decode(&list(5, &[0, 0, 1, 0, 9])),
            Err(DeltasError::BeyondGuest {
                page: 5,
                guest_pages: 5
            })
        );
        let malformed: [&[u8]; 6] = [
            &[],
            &[0, 0, 0, 0],
            &[0, 0, 2, 0, 9],
            &[0, 0],
            &[255, 15, 2, 0, 9, 9],
            &[8, 0, 1, 0, 9, 0, 0, 1, 0, 9],
        ];
        for patch in malformed {
            assert_eq!(
                decode(&list(4, patch)),
                Err(DeltasError::Patch { page: 4 }),
                "{patch:?}"
            );
        }
        assert_eq!(decode(&[]), Err(DeltasError::Empty));
        assert_eq!(decode(&[0; 4]), Err(DeltasError::Empty));
        let torn = DeltasError::Torn { index: 0, count: 1 };
        assert_eq!(decode(&list(4, &[0, 0, 1, 0, 9])[..20]), Err(torn));
        let mut twice = [
            list(4, &[0, 0, 1, 0, 9]),
            list(4, &[0, 0, 1, 0, 9])[4..].to_vec(),
        ]
        .concat();
        twice[0] = 2;
        let order = DeltasError::Order { before: 4, page: 4 };
        assert_eq!(decode(&twice), Err(order));
        let trailing = [list(4, &[0, 0, 1, 0, 9]), vec![0]].concat();
        let torn = DeltasError::Torn { index: 1, count: 1 };
        assert_eq!(decode(&trailing), Err(torn));
    }
}
