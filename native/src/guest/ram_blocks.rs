//! The memory of a machine, block by block. A replica has guest RAM and the devices' state; memory beside those would be
//! lost with the primary.
//!
//! Source: QEMU's `ram_block_format()`, which prints `info ramblock`: name, page size, offset, used and total size; newer
//! versions (8.1) add the host's address and whether the block is read-only.

use serde_json::Value;

/// Memory that QEMU makes from the firmware and from the machine's description: on both hosts the same, whatever the
/// guest did. With the firmware as read-only flash the guest cannot write to the first three; the tables QEMU makes anew
/// when the firmware asks for them.
const REBUILT: [&str; 7] = [
    "system.flash0",
    "isa-bios",
    "pc.bios",
    "pc.rom",
    "/rom@etc/acpi/tables",
    "/rom@etc/acpi/rsdp",
    "/rom@etc/table-loader",
];

/// Why a machine's memory cannot be protected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RamBlockError {
    /// A device has memory of its own.
    #[error(
        "{device} has {kib} KiB of memory of its own (RAM block \"{block}\"), which no replica would have: {remedy}"
    )]
    Foreign {
        /// QEMU's name for the memory.
        block: String,
        /// Its size (KiB).
        kib: u64,
        /// Whose it is.
        device: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Guest RAM is not what was asked for.
    #[error("the guest's RAM is {found:?} bytes, expected one block \"ram\" of {expected}")]
    Ram {
        /// Sizes of the blocks with that name, bytes.
        found: Vec<u64>,
        /// Size of guest RAM, bytes.
        expected: u64,
    },
    /// The display's memory is not what was asked for.
    #[error(
        "the display's memory is {found:?} bytes, expected one block \"…/vga.vram\" of {expected} and no other block as large"
    )]
    Video {
        /// Sizes of the blocks of that name or size, bytes.
        found: Vec<u64>,
        /// Its size, bytes.
        expected: u64,
    },
    /// The list is not of a form that we know.
    #[error("QEMU's list of RAM blocks cannot be read: {line:?}")]
    Format {
        /// The line that does not fit.
        line: String,
    },
}

/// One block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RamBlock {
    /// QEMU's name for it.
    pub name: String,
    /// Bytes that it may come to have.
    pub bytes: u64,
}

/// Reads the answer to `info ramblock`.
///
/// # Errors
/// [`RamBlockError::Format`] for anything that is not exactly such a list.
pub fn parse(text: &str) -> Result<Vec<RamBlock>, RamBlockError> {
    let bad = |line: &str| RamBlockError::Format {
        line: line.chars().take(200).collect(),
    };
    let mut lines = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty());
    let header = lines.next().unwrap_or_default();
    // "4 KiB" is two words; what else follows the name is one word each.
    let words_behind_name = match header.split_whitespace().collect::<Vec<_>>()[..] {
        ["Block", "Name", "PSize", "Offset", "Used", "Total"] => 5,
        [
            "Block",
            "Name",
            "PSize",
            "Offset",
            "Used",
            "Total",
            "HVA",
            "RO",
        ] => 7,
        _ => return Err(bad(header)),
    };
    lines
        .map(|line| read(line, words_behind_name).ok_or_else(|| bad(line)))
        .collect()
}

fn read(line: &str, words_behind_name: usize) -> Option<RamBlock> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (name, rest) = words.split_at(words.len().checked_sub(words_behind_name)?);
    let hexadecimal = |word: &str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
    let (sizes, tail) = rest.split_at(5);
    let [page, unit, offset, used, total] = sizes else {
        return None;
    };
    page.parse::<u64>().ok()?;
    hexadecimal(offset)?;
    let (used, bytes) = (hexadecimal(used)?, hexadecimal(total)?);
    let tail_is_known = match tail {
        [] => true,
        [address, read_only] => hexadecimal(address).is_some() && ["ro", "rw"].contains(read_only),
        _ => false,
    };
    let is_sound = ["B", "KiB", "MiB", "GiB"].contains(unit) && used <= bytes && tail_is_known;
    (is_sound && !name.is_empty()).then(|| RamBlock {
        name: name.join(" "),
        bytes,
    })
}

/// Memory that a replica has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// Guest RAM, bytes.
    pub ram: u64,
    /// The display's, bytes; 0 if it has none.
    pub video: u64,
}

/// Checks that nothing but what is our own and what QEMU makes itself is there; `pci` is QEMU's answer to `query-pci`, to name
/// the device.
///
/// # Errors
/// [`RamBlockError`], with the first block that a replica would lack.
pub fn check(blocks: &[RamBlock], own: Own, pci: &Value) -> Result<(), RamBlockError> {
    let ram_bytes = own.ram;
    let (ram, others): (Vec<&RamBlock>, Vec<&RamBlock>) =
        blocks.iter().partition(|block| block.name == "ram");
    let found: Vec<u64> = ram.iter().map(|block| block.bytes).collect();
    if found != [ram_bytes] {
        return Err(RamBlockError::Ram {
            found,
            expected: ram_bytes,
        });
    }
    if own.video > 0 {
        check_video(&others, own.video)?;
    }
    let is_known = |block: &RamBlock| {
        REBUILT.contains(&block.name.as_str())
            || (own.video > 0 && (is_video(block) || is_video_firmware(block)))
    };
    match others.into_iter().find(|block| !is_known(block)) {
        None => Ok(()),
        Some(block) => Err(RamBlockError::Foreign {
            block: block.name.clone(),
            kib: block.bytes / 1024,
            device: owner(&block.name, pci),
            remedy: remedy(&block.name),
        }),
    }
}

/// The preload library makes the first memory of this size of our file: there must be only one.
fn check_video(blocks: &[&RamBlock], expected: u64) -> Result<(), RamBlockError> {
    let candidates = blocks
        .iter()
        .filter(|block| is_video(block) || block.bytes == expected);
    let found: Vec<u64> = candidates.map(|block| block.bytes).collect();
    let is_one = blocks.iter().filter(|block| is_video(block)).count() == 1;
    if is_one && found == [expected] {
        Ok(())
    } else {
        Err(RamBlockError::Video { found, expected })
    }
}

fn is_video(block: &RamBlock) -> bool {
    block.name.ends_with("/vga.vram")
}

/// Read-only, from a file whose content is compared.
fn is_video_firmware(block: &RamBlock) -> bool {
    block.name.ends_with("/vga.rom")
}

/// Whose memory it is. PCI devices' blocks are called `domain:bus:slot.function/name`.
fn owner(block: &str, pci: &Value) -> String {
    let Some((address, _)) = block.split_once('/').filter(|(path, _)| !path.is_empty()) else {
        return "a device".to_owned();
    };
    match pci_class(address, pci) {
        Some(class) => format!("the {class} at PCI address {address}"),
        None => format!("the device at {address}"),
    }
}

fn pci_class(address: &str, pci: &Value) -> Option<String> {
    let (bus, place) = address.split_once(':')?.1.split_once(':')?;
    let (slot, function) = place.split_once('.')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    let (bus, slot, function) = (number(bus)?, number(slot)?, number(function)?);
    let devices = pci.as_array()?.iter();
    let device = devices
        .filter_map(|bus| bus["devices"].as_array())
        .flatten()
        .find(|device| {
            device["bus"] == bus && device["slot"] == slot && device["function"] == function
        })?;
    Some(device["class_info"]["desc"].as_str()?.to_owned())
}

fn remedy(block: &str) -> &'static str {
    let name = block.rsplit('/').next().unwrap_or(block);
    if name.contains("vga") || name.contains("vram") || name.contains("qxl") {
        "give it a display of <model type='vga'/> or none; the guest has a serial console"
    } else if name.contains("flash") {
        "give it read-only firmware in one file; a writable flash cannot be protected"
    } else if name.contains("pmem") || name.contains("nvdimm") || name.contains("mem") {
        "give the guest all of its memory as memory_mib, and no further memory device"
    } else if name.rsplit_once('.').is_some_and(|(_, kind)| kind == "rom") {
        "leave its boot ROM out (romfile=)"
    } else {
        "leave the device out"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// QEMU 7.2, a machine as the engine makes it.
    const PLAIN: &str = "              Block Name    PSize              Offset               Used              Total
                     ram    4 KiB  0x0000000000000000 0x0000000008000000 0x0000000008000000
    /rom@etc/acpi/tables    4 KiB  0x00000000080c0000 0x0000000000020000 0x0000000000200000
           system.flash0    4 KiB  0x0000000008000000 0x0000000000040000 0x0000000000040000
                isa-bios    4 KiB  0x0000000008040000 0x0000000000020000 0x0000000000020000
                  pc.rom    4 KiB  0x0000000008080000 0x0000000000020000 0x0000000000020000
   /rom@etc/table-loader    4 KiB  0x00000000082c0000 0x0000000000001000 0x0000000000010000
      /rom@etc/acpi/rsdp    4 KiB  0x0000000008300000 0x0000000000001000 0x0000000000001000
";
    /// The line that QEMU 7.2 adds for `-device VGA`.
    const VGA: &str = "   0000:00:02.0/vga.vram    4 KiB  0x00000000080c0000 0x0000000001000000 0x0000000001000000\r\n";
    /// The newer form.
    const NEWER: &str = "              Block Name    PSize              Offset               Used              Total                HVA  RO
                     ram    4 KiB  0x0000000000000000 0x0000000008000000 0x0000000008000000 0x00007f0af7e00000  rw
           system.flash0    4 KiB  0x0000000008000000 0x0000000000040000 0x0000000000040000 0x00007f0aff400000  ro
                  pc.rom    4 KiB  0x0000000008080000 0x0000000000020000 0x0000000000020000 0x00007f0af7c00000  ro
";
    const RAM: u64 = 128 << 20;

    fn verdict(text: &str) -> Result<(), RamBlockError> {
        verdict_with(text, 0)
    }

    fn verdict_with(text: &str, video: u64) -> Result<(), RamBlockError> {
        let pci = json!([{"bus": 0, "devices": [
            {"bus": 0, "slot": 1, "function": 0, "class_info": {"desc": "ISA bridge"}},
            {"bus": 0, "slot": 2, "function": 0, "class_info": {"desc": "VGA controller"}}]}]);
        check(&parse(text)?, Own { ram: RAM, video }, &pci)
    }

    #[test]
    fn a_machine_with_nothing_but_guest_ram_and_firmware_is_accepted_in_both_forms() {
        assert_eq!(parse(PLAIN).expect("a list").len(), 7);
        assert_eq!(verdict(PLAIN), Ok(()));
        assert_eq!(verdict(NEWER), Ok(()));
        assert_eq!(verdict(&PLAIN.replace('\n', "\r\n")), Ok(()));
    }

    #[test]
    fn memory_of_a_device_is_refused_with_its_name_and_the_remedy() {
        let told = |line: &str| {
            verdict(&format!("{PLAIN}{line}"))
                .expect_err(line)
                .to_string()
        };
        assert_eq!(
            told(VGA),
            "the VGA controller at PCI address 0000:00:02.0 has 16384 KiB of memory of its own (RAM block \
             \"0000:00:02.0/vga.vram\"), which no replica would have: give it a display of <model \
             type='vga'/> or none; the guest has a serial console"
        );
        for (name, expected) in [
            ("pmem0", "no further memory device"),
            ("system.flash1", "writable flash"),
            (
                "0000:00:01.0/e1000.rom",
                "the ISA bridge at PCI address 0000:00:01.0",
            ),
            ("0000:00:07.0/x.rom", "the device at 0000:00:07.0"),
            ("0000:00:03.0/virtio-net-pci.rom", "romfile="),
            ("/rom@etc/acpi/other", "a device has 16384 KiB"),
            ("shmem name", "RAM block \"shmem name\""),
        ] {
            let line = VGA.replace("0000:00:02.0/vga.vram", name);
            assert!(told(&line).contains(expected), "{}", told(&line));
        }
    }

    #[test]
    fn the_display_that_was_asked_for_is_the_only_one_and_no_other_memory_is_as_large() {
        let rom = VGA
            .replace("vga.vram", "vga.rom")
            .replace("1000000", "0010000");
        assert_eq!(
            verdict_with(&format!("{PLAIN}{VGA}{rom}"), 16 << 20),
            Ok(())
        );
        let twice = VGA.replace("02.0", "03.0");
        let other = VGA.replace("vga.vram", "x.ram");
        for (text, video, found) in [
            (PLAIN.to_owned(), 16 << 20, vec![]),
            (format!("{PLAIN}{VGA}"), 8 << 20, vec![16 << 20]),
            (format!("{PLAIN}{VGA}{twice}"), 16 << 20, vec![16 << 20; 2]),
            (format!("{PLAIN}{VGA}{other}"), 16 << 20, vec![16 << 20; 2]),
            (format!("{PLAIN}{other}"), 16 << 20, vec![16 << 20]),
        ] {
            let refused = RamBlockError::Video {
                found,
                expected: video,
            };
            assert_eq!(verdict_with(&text, video), Err(refused), "{text}");
        }
        assert!(matches!(
            verdict(&format!("{PLAIN}{rom}")),
            Err(RamBlockError::Foreign { .. })
        ));
    }

    #[test]
    fn guest_ram_that_is_not_ours_is_refused() {
        for (from, to, found) in [
            ("      ram ", "   pc.ram ", vec![]),
            (
                "0x0000000008000000 0x0000000008000000\n",
                "0x0000000004000000 0x0000000004000000\n",
                vec![RAM / 2],
            ),
        ] {
            let text = PLAIN.replacen(from, to, 1);
            assert_ne!(text, PLAIN);
            assert_eq!(
                verdict(&text),
                Err(RamBlockError::Ram {
                    found,
                    expected: RAM
                })
            );
        }
    }

    #[test]
    fn what_is_not_such_a_list_is_not_read() {
        for text in [
            String::new(),
            "unknown command: 'info ramblock'".to_owned(),
            PLAIN.replace("PSize", "Page"),
            PLAIN.replace("4 KiB", "4KiB"),
            PLAIN.replacen("0x00000000080c0000", "080c0000", 1),
            PLAIN.replacen(
                "0x0000000000020000 0x0000000000200000",
                "0x0000000000200000 0x0000000000020000",
                1,
            ),
            NEWER.replacen("  ro", "  r?", 1),
            NEWER.replacen("  ro", "", 1),
            format!("{PLAIN}    4 KiB  0x0 0x1 0x1\n"),
        ] {
            assert!(
                matches!(parse(&text), Err(RamBlockError::Format { .. })),
                "{text}"
            );
        }
    }
}
