//! Where two versions of the same bytes differ.

use std::ops::Range;

/// What is compared at once, and the unit of a patch.
const WORD: usize = 8;
const BLOCK_WORDS: usize = 8;
const BLOCK: usize = WORD * BLOCK_WORDS;

/// Word by word, in a form that compiles to vector instructions; a comparison of arrays would be a call.
fn differences(before: &[u8; BLOCK], after: &[u8; BLOCK]) -> impl Iterator<Item = u64> {
    let (before, _) = before.as_chunks::<WORD>();
    let (after, _) = after.as_chunks::<WORD>();
    before
        .iter()
        .zip(after)
        .map(|(before, after)| u64::from_ne_bytes(*before) ^ u64::from_ne_bytes(*after))
}

/// Calls `piece` with every range in which `after` differs from `before`, ascending; pieces are whole words and lie at
/// least two words apart. Ends early, with false, when `piece` says false.
///
/// # Panics
/// If the lengths differ.
#[inline]
pub(super) fn changes(
    before: &[u8],
    after: &[u8],
    mut piece: impl FnMut(Range<usize>) -> bool,
) -> bool {
    assert_eq!(before.len(), after.len(), "versions of the same bytes");
    let (before_blocks, before_rest) = before.as_chunks::<BLOCK>();
    let (after_blocks, after_rest) = after.as_chunks::<BLOCK>();
    let mut open: Option<Range<usize>> = None;
    for (block, (before, after)) in before_blocks.iter().zip(after_blocks).enumerate() {
        if differences(before, after).fold(0, std::ops::BitOr::bitor) == 0 {
            continue;
        }
        for (word, difference) in differences(before, after).enumerate() {
            if difference == 0 {
                continue;
            }
            let at = block * BLOCK + word * WORD;
            match &mut open {
                // A gap of one word costs about as much as the head of another piece.
                Some(range) if at <= range.end + WORD => range.end = at + WORD,
                _ => {
                    if let Some(ended) = open.replace(at..at + WORD)
                        && !piece(ended)
                    {
                        return false;
                    }
                }
            }
        }
    }
    if let Some(last) = open
        && !piece(last)
    {
        return false;
    }
    before_rest == after_rest || piece(after_blocks.len() * BLOCK..after.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn the_pieces_are_all_that_differs(
            before in vec(any::<u8>(), 0..700),
            writes in vec((any::<prop::sample::Index>(), 1..90usize, any::<u8>()), 0..8),
        ) {
            let mut after = before.clone();
            for (at, length, value) in writes {
                if !after.is_empty() {
                    let at = at.index(after.len());
                    let end = (at + length).min(after.len());
                    after[at..end].fill(value);
                }
            }
            let (mut patched, mut end) = (before.clone(), 0);
            let complete = changes(&before, &after, |range| {
                assert!(range.start >= end && !range.is_empty());
                end = range.end;
                patched[range.clone()].copy_from_slice(&after[range]);
                true
            });
            prop_assert!(complete);
            prop_assert_eq!(patched, after);
        }
    }

    #[test]
    fn it_ends_when_it_is_told_to() {
        let (before, mut after) = ([0; 256], [0; 256]);
        (after[0], after[100], after[200]) = (1, 1, 1);
        let mut seen = 0;
        assert!(!changes(&before, &after, |_| {
            seen += 1;
            seen < 2
        }));
        assert_eq!(seen, 2);
    }
}
