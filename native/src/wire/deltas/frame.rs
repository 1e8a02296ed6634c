//! One `Deltas` payload while it is put together.

use super::super::limits::{MAX_DELTAS_PAYLOAD, PAGE_BYTES, PATCH_MAX_BYTES};
use super::super::patch::changes;
use super::{Base, ENTRY_BYTES, PIECE_BYTES};

/// How a page is best sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Difference {
    /// Not at all: the secondary has it.
    None,
    /// As the delta that was added.
    Delta,
    /// Whole: nearly all of it is new, or the frame is full.
    Whole,
}

/// One `Deltas` payload while it is put together. Its memory is taken once.
#[derive(Debug)]
pub(in super::super) struct DeltaFrame {
    payload: Vec<u8>,
    count: u32,
}

impl DeltaFrame {
    pub(in super::super) fn new() -> Self {
        let mut payload = Vec::with_capacity(MAX_DELTAS_PAYLOAD);
        payload.extend_from_slice(&[0; 4]);
        Self { payload, count: 0 }
    }

    /// Starts over.
    pub(in super::super) fn restart(&mut self) {
        self.payload.truncate(4);
        self.count = 0;
    }

    /// Bytes of the deltas in it.
    pub(in super::super) fn bytes(&self) -> usize {
        self.payload.len() - 4
    }

    /// Deltas in it.
    pub(in super::super) fn count(&self) -> u32 {
        self.count
    }

    /// The payload, if there is any delta.
    pub(in super::super) fn payload(&mut self) -> Option<&[u8]> {
        self.payload[..4].copy_from_slice(&self.count.to_le_bytes());
        (self.count > 0).then_some(&self.payload[..])
    }

    /// Adds what `bytes` differ in from `base`, if that is little.
    pub(in super::super) fn add(
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
        changes(base, new, |range| {
            let bytes = &new[range.clone()];
            if self.payload.len() - patch_at + PIECE_BYTES + bytes.len() > PATCH_MAX_BYTES {
                return false;
            }
            let field = |number: usize| u16::try_from(number).expect("within a page").to_le_bytes();
            self.payload.extend_from_slice(&field(range.start));
            self.payload.extend_from_slice(&field(bytes.len()));
            self.payload.extend_from_slice(bytes);
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Deltas, page_hash};
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
}
