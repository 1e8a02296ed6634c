//! What QEMU says that it is, and the program that it runs.

use std::io::Cursor;

use kemari_engine::guest::executable;
use kemari_engine::guest::identity::{Answers, Identity, name_behind_alias};
use serde_json::{Value, json};

/// Input: a program, if it begins as one; else an object with QEMU's answers, or the text of its tree of devices.
pub fn run(data: &[u8]) {
    let build = executable::identify(Cursor::new(data)).expect("memory does not fail");
    assert!(!build.is_empty());
    let answers: Value = serde_json::from_slice(data).unwrap_or_default();
    let alias = name_behind_alias(&answers["machines"], "pc");
    assert!(alias.is_none() || answers["machines"].is_array());
    let tree = match answers.get("tree") {
        Some(tree) => tree.clone(),
        None => String::from_utf8_lossy(data).into(),
    };
    let answers = Answers {
        version: answers["version"].clone(),
        expansion: answers["expansion"].clone(),
        words: answers["words"].clone(),
        tree,
    };
    let identity = Identity::read(&answers, build);
    assert!(identity == Identity::read(&answers, identity.build.clone()));
    // A 64-bit register has no more.
    let words = answers.words.as_array().map_or(0, Vec::len);
    assert!(identity.cpu_bits.len() <= 64 * words);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let tree = "bus: main-system-bus\r\n  dev: i440FX-pcihost, id \"\"\r\n    x-fix = true\r\n    bus: pci.0\r\n      dev: virtio-net-pci, id \"\"\r\n        addr = 02.0\r\n        bar 0: i/o at 0xffff [0x1e]\r\n  dev: ps2, id \"\"\r\n  dev: ps2, id \"\"\r\n";
    let answers = json!({
        "machines": [{"name": "pc-i440fx-7.2", "alias": "pc"}, {"name": "isapc"}],
        "version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2"},
        "expansion": {"model": {"name": "qemu64", "props": {"sse4.1": true, "avx": false, "family": 15, "vendor": "x"}}},
        "words": [{"cpuid-register": "EAX", "cpuid-input-ecx": 1, "cpuid-input-eax": 13, "features": 5}],
        "tree": tree,
    });
    vec![
        program(),
        answers.to_string().into_bytes(),
        tree.as_bytes().to_vec(),
    ]
}

/// The smallest ELF file of 64 bits with a build id: its header, one program header, and the note.
fn program() -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    // An executable for x86-64; program headers are at 64, there is one of 56 bytes, and no section.
    for half in [2u16, 62] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend(1u32.to_le_bytes());
    for word in [0u64, 64, 0] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 1, 64, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    // PT_NOTE of 36 bytes at 120.
    for half in [4u32, 4] {
        elf.extend(half.to_le_bytes());
    }
    for word in [120u64, 0, 0, 36, 36, 4] {
        elf.extend(word.to_le_bytes());
    }
    for half in [4u32, 20, 3] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend(b"GNU\0");
    elf.extend([7; 20]);
    elf
}
