//! The payload of `Deltas`: pages of the transaction as what has changed in them since the epoch before.
//!
//! ```text
//! u32 count, count × { u64 page, u64 base_hash, u32 patch_bytes, patch }, pages ascending
//! patch: { u16 offset, u16 length, length bytes } one or more times, ascending
//! ```
//! `base_hash` is the xxh3-64 of the whole page as the secondary has it. A secondary that has something else must not
//! acknowledge the transaction: what the page would become is not the guest's.

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use super::cursor::Cursor;
use super::limits::{MAX_DELTAS_PAYLOAD, PAGE_BYTES, PATCH_MAX_BYTES};

const ENTRY_BYTES: usize = 20;
const PIECE_BYTES: usize = 4;
/// What is compared at once, and the unit of a patch.
const WORD: usize = 8;
const BLOCK_WORDS: usize = 8;

type Block = [[u8; WORD]; BLOCK_WORDS];

/// Word by word, in a form that compiles to vector instructions; a comparison of arrays would be a call.
fn differences(before: &Block, after: &Block) -> impl Iterator<Item = u64> {
    before
        .iter()
        .zip(after)
        .map(|(before, after)| u64::from_ne_bytes(*before) ^ u64::from_ne_bytes(*after))
}

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

/// How a page is best sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Difference {
    /// Not at all: the secondary has it.
    None,
    /// As the delta that was added.
    Delta,
    /// Whole: nearly all of it is new, or the frame is full.
    Whole,
}

/// One `Deltas` payload while it is put together. Its memory is taken once.
#[derive(Debug)]
pub(super) struct DeltaFrame {
    payload: Vec<u8>,
    count: u32,
}

impl DeltaFrame {
    pub(super) fn new() -> Self {
        let mut payload = Vec::with_capacity(MAX_DELTAS_PAYLOAD);
        payload.extend_from_slice(&[0; 4]);
        Self { payload, count: 0 }
    }

    /// Starts over.
    pub(super) fn restart(&mut self) {
        self.payload.truncate(4);
        self.count = 0;
    }

    /// Deltas in it.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// The payload, if there is any delta.
    pub(super) fn payload(&mut self) -> Option<&[u8]> {
        self.payload[..4].copy_from_slice(&self.count.to_le_bytes());
        (self.count > 0).then_some(&self.payload[..])
    }

    /// Adds what `bytes` differ in from `base`, if that is little.
    pub(super) fn add(
        &mut self,
        page: u64,
        base: Base<'_>,
        bytes: &[u8; PAGE_BYTES],
    ) -> Difference {
        let entry_at = self.payload.len();
        if entry_at + ENTRY_BYTES + PATCH_MAX_BYTES > MAX_DELTAS_PAYLOAD {
            return Difference::Whole;
        }
        let patch_at = entry_at + ENTRY_BYTES;
        self.payload.extend_from_slice(&page.to_le_bytes());
        self.payload.extend_from_slice(&base.hash.to_le_bytes());
        self.payload.extend_from_slice(&[0; 4]);
        let is_little = self.patch(patch_at, base.bytes, bytes);
        let patch_bytes = self.payload.len() - patch_at;
        if !is_little || patch_bytes == 0 {
            self.payload.truncate(entry_at);
            return if is_little {
                Difference::None
            } else {
                Difference::Whole
            };
        }
        let patch_bytes = u32::try_from(patch_bytes).expect("bounded by PATCH_MAX_BYTES");
        self.payload[patch_at - 4..patch_at].copy_from_slice(&patch_bytes.to_le_bytes());
        self.count += 1;
        Difference::Delta
    }

    /// Appends the pieces of a patch; false if they are more than [`PATCH_MAX_BYTES`].
    fn patch(&mut self, patch_at: usize, base: &[u8; PAGE_BYTES], new: &[u8; PAGE_BYTES]) -> bool {
        let (base_words, _) = base.as_chunks::<WORD>();
        let (new_words, _) = new.as_chunks::<WORD>();
        let (base_blocks, _) = base_words.as_chunks::<BLOCK_WORDS>();
        let (new_blocks, _) = new_words.as_chunks::<BLOCK_WORDS>();
        let mut open: Option<(usize, usize)> = None;
        for (block, (before, after)) in base_blocks.iter().zip(new_blocks).enumerate() {
            if differences(before, after).fold(0, std::ops::BitOr::bitor) == 0 {
                continue;
            }
            for (word, difference) in differences(before, after).enumerate() {
                if difference == 0 {
                    continue;
                }
                let at = block * BLOCK_WORDS + word;
                match &mut open {
                    // A gap of one word costs about as much as the head of another piece.
                    Some((_, end)) if at <= *end + 1 => *end = at + 1,
                    _ => {
                        let ended = open.replace((at, at + 1));
                        if !self.push_piece(patch_at, ended, new) {
                            return false;
                        }
                    }
                }
            }
        }
        self.push_piece(patch_at, open, new)
    }

    fn push_piece(
        &mut self,
        patch_at: usize,
        words: Option<(usize, usize)>,
        new: &[u8; PAGE_BYTES],
    ) -> bool {
        let Some((start, end)) = words else {
            return true;
        };
        let bytes = &new[start * WORD..end * WORD];
        if self.payload.len() - patch_at + PIECE_BYTES + bytes.len() > PATCH_MAX_BYTES {
            return false;
        }
        let field = |number: usize| u16::try_from(number).expect("within a page").to_le_bytes();
        self.payload.extend_from_slice(&field(start * WORD));
        self.payload.extend_from_slice(&field(bytes.len()));
        self.payload.extend_from_slice(bytes);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn base(bytes: &[u8; PAGE_BYTES]) -> Base<'_> {
        Base {
            bytes,
            hash: page_hash(bytes),
        }
    }

    /// The page that a secondary with `before` gets.
    fn patched(payload: &[u8], before: &[u8; PAGE_BYTES]) -> [u8; PAGE_BYTES] {
        let (mut deltas, count) = Deltas::decode(payload, 8).expect("its own");
        assert_eq!(count, 1);
        let delta = deltas.next().expect("one");
        assert_eq!((delta.page, delta.base_hash), (7, page_hash(before)));
        let mut page = *before;
        for (offset, bytes) in delta.pieces() {
            page[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        page
    }

    proptest! {
        /// Whatever changed, the secondary gets exactly the new page, or it is sent whole.
        #[test]
        fn a_patched_base_is_the_new_page(
            seed in any::<u8>(),
            writes in vec((0..PAGE_BYTES, 1..700usize, any::<u8>()), 0..12),
        ) {
            let before: [u8; PAGE_BYTES] = std::array::from_fn(|at| u8::try_from(at % 251).expect("small") ^ seed);
            let mut after = before;
            for (at, length, value) in writes {
                let end = (at + length).min(PAGE_BYTES);
                after[at..end].fill(value);
            }
            let mut frame = DeltaFrame::new();
            match frame.add(7, base(&before), &after) {
                Difference::None => {
                    prop_assert_eq!(before, after);
                    prop_assert!(frame.payload().is_none());
                }
                Difference::Delta => {
                    let payload = frame.payload().expect("one");
                    prop_assert!(payload.len() <= 4 + ENTRY_BYTES + PATCH_MAX_BYTES);
                    prop_assert_eq!(patched(payload, &before), after);
                }
                Difference::Whole => {
                    let changed = before.iter().zip(&after).filter(|(a, b)| a != b).count();
                    prop_assert!(changed * 14 > PATCH_MAX_BYTES, "{changed} bytes are little");
                    prop_assert!(frame.payload().is_none());
                }
            }
        }

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

    #[test]
    fn a_full_frame_takes_no_more() {
        let (before, mut after) = ([0; PAGE_BYTES], [0; PAGE_BYTES]);
        after[..2000].fill(1);
        let mut frame = DeltaFrame::new();
        let full =
            (0..9999).find(|&page| frame.add(page, base(&before), &after) != Difference::Delta);
        assert!(full > Some(100));
        assert_eq!(frame.add(9999, base(&before), &after), Difference::Whole);
        let payload = frame.payload().expect("many");
        assert!(payload.len() <= MAX_DELTAS_PAYLOAD);
        let (deltas, count) = Deltas::decode(payload, 9999).expect("its own");
        assert_eq!(deltas.count(), count as usize);
        frame.restart();
        assert_eq!(frame.add(7, base(&before), &after), Difference::Delta);
        assert_eq!(frame.count(), 1);
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
