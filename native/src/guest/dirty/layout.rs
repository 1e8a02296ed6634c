//! Where QEMU has the pages of the guest's memory file: guest RAM and, behind it in the file, video memory are mappings of
//! their own.

use std::ops::Range;

use crate::limits::PAGE_BYTES;

/// Pages of the file by their addresses in QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// In the order of the file, without a gap.
    stretches: Vec<Stretch>,
}

/// Pages of the file that follow each other in QEMU, too.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stretch {
    pages: Range<usize>,
    start: u64,
}

/// Some pages, and where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first of them.
    pub page: usize,
    /// Its address.
    pub start: u64,
    /// The address behind the last.
    pub end: u64,
}

impl Span {
    /// The page that an address of it is in; its end is the page behind.
    pub fn page_at(&self, address: u64) -> usize {
        let behind = usize::try_from(address.saturating_sub(self.start));
        self.page + behind.expect("an address space fits in usize") / PAGE_BYTES
    }
}

impl Layout {
    /// As the text of `/proc/PID/maps` says (proc(5)), for a file of `bytes` bytes; `None` unless each byte of it is mapped, in
    /// whole pages, exactly once.
    pub fn read(maps: &str, inode: u64, bytes: usize) -> Option<Self> {
        let inode = inode.to_string();
        let mut found: Vec<(usize, u64, u64)> = maps
            .lines()
            .filter(|line| is_of(line, &inode))
            .map(mapping)
            .collect::<Option<_>>()?;
        found.sort_unstable();
        let (mut stretches, mut next) = (Vec::with_capacity(found.len()), 0);
        for (offset, start, end) in found {
            let length = usize::try_from(end.checked_sub(start)?).ok()?;
            let is_whole = offset.is_multiple_of(PAGE_BYTES) && length.is_multiple_of(PAGE_BYTES);
            if offset != next || length == 0 || !is_whole {
                return None;
            }
            next = offset.checked_add(length)?;
            let pages = offset / PAGE_BYTES..next / PAGE_BYTES;
            stretches.push(Stretch { pages, start });
        }
        (next == bytes && bytes > 0).then_some(Self { stretches })
    }

    /// Where `pages` are, in order.
    pub fn spans(&self, pages: Range<usize>) -> impl Iterator<Item = Span> {
        self.stretches.iter().filter_map(move |stretch| {
            let first = pages.start.max(stretch.pages.start);
            let end = pages.end.min(stretch.pages.end);
            let address = |page: usize| stretch.start + bytes(page - stretch.pages.start);
            (first < end).then(|| Span {
                page: first,
                start: address(first),
                end: address(end),
            })
        })
    }

    /// The first of [`Layout::spans`].
    pub fn first_span(&self, pages: Range<usize>) -> Option<Span> {
        self.spans(pages).next()
    }

    /// The page that has this address.
    pub fn page_at(&self, address: u64) -> Option<usize> {
        self.stretches.iter().find_map(|stretch| {
            let behind = address.checked_sub(stretch.start)?;
            let page = stretch.pages.start + usize::try_from(behind).ok()? / PAGE_BYTES;
            stretch.pages.contains(&page).then_some(page)
        })
    }
}

fn bytes(pages: usize) -> u64 {
    (pages * PAGE_BYTES) as u64
}

fn is_of(line: &str, inode: &str) -> bool {
    let mut fields = line.split_whitespace();
    fields.nth(4) == Some(inode)
        && fields
            .next()
            .is_some_and(|path| path.starts_with("/memfd:"))
}

/// Offset in the file, first address, and the address behind the last.
fn mapping(line: &str) -> Option<(usize, u64, u64)> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let hexadecimal = |text| u64::from_str_radix(text, 16).ok();
    let offset = usize::try_from(hexadecimal(fields.nth(1)?)?).ok()?;
    Some((offset, hexadecimal(start)?, hexadecimal(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RAM: &str = "7f000000-7f008000 rw-s 00000000 00:01 42      /memfd:kemari-ram (deleted)\n";
    const VIDEO: &str = "10000-12000 rw-s 00008000 00:01 42 /memfd:kemari-ram (deleted)\n";

    #[test]
    fn a_file_that_is_mapped_once_in_one_piece_or_in_several_is_found() {
        let all = |layout: &Layout, pages| {
            layout
                .spans(pages)
                .map(|span| (span.page, span.start, span.end))
                .collect::<Vec<_>>()
        };
        let one = Layout::read(RAM, 42, 0x8000).expect("mapped");
        assert_eq!(all(&one, 2..4), [(2, 0x7f00_2000, 0x7f00_4000)]);
        let two = Layout::read(&format!("{VIDEO}garbage\n{RAM}"), 42, 0xa000).expect("mapped");
        assert_eq!(
            all(&two, 7..9),
            [(7, 0x7f00_7000, 0x7f00_8000), (8, 0x10000, 0x11000)]
        );
        assert_eq!(all(&two, 3..3), []);
        assert_eq!(two.page_at(0x11fff), Some(9));
        assert_eq!(two.page_at(0x7f00_0000), Some(0));
        assert_eq!(two.page_at(0x12000), None);
        assert_eq!(two.page_at(0), None);
    }

    #[test]
    fn a_file_of_which_something_is_missing_or_mapped_twice_is_refused() {
        for (maps, bytes) in [
            (RAM.repeat(2), 0x8000),
            (RAM.to_owned(), 0xa000),
            (RAM.to_owned(), 0x7000),
            (VIDEO.to_owned(), 0x2000),
            (
                format!("{RAM}{}", VIDEO.replace("8000 00", "9000 00")),
                0xb000,
            ),
            (
                format!("{RAM}{}", VIDEO.replace("8000 00", "7000 00")),
                0x9000,
            ),
            (RAM.replace("7f008000", "7f000000"), 0),
            (RAM.replace("7f008000", "7f007fff"), 0x7fff),
            (RAM.replace("7f008000", "7e008000"), 0x8000),
            (RAM.replace(" 42 ", " 43 "), 0x8000),
            (RAM.replace("7f000000-", "x-"), 0x8000),
            (RAM.replace("/memfd:", "/tmp/"), 0x8000),
            (String::new(), 0),
        ] {
            assert_eq!(Layout::read(&maps, 42, bytes), None, "{maps}");
        }
    }

    proptest! {
        /// Every page has one address, and the address leads back to it.
        #[test]
        fn pages_and_addresses_belong_together(cut in 1..8usize, from in 0..10usize, length in 0..10usize) {
            let video = format!("10000-{:x} rw-s {:08x} 00:01 42 /memfd:x", 0x10000 + (10 - cut) * 4096, cut * 4096);
            let ram = format!("90000-{:x} rw-s 00000000 00:01 42 /memfd:x", 0x90000 + cut * 4096);
            let layout = Layout::read(&format!("{video}\n{ram}\n"), 42, 10 * 4096).expect("mapped");
            let pages = from..(from + length).min(10);
            let mut seen = Vec::new();
            for span in layout.spans(pages.clone()) {
                for (index, address) in (span.start..span.end).step_by(4096).enumerate() {
                    prop_assert_eq!(layout.page_at(address + 77), Some(span.page + index));
                    seen.push(span.page + index);
                }
            }
            prop_assert_eq!(seen, pages.collect::<Vec<_>>());
        }
    }
}
