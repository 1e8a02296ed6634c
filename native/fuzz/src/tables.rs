//! Texts from QEMU and the kernel.

use kemari_engine::guest::dirty::Layout;
use kemari_engine::guest::ram_blocks::{self, Own};
use serde_json::json;

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    const BYTES: usize = 0x1000_0000 + 0x0100_0000;
    if let Some(layout) = Layout::read(&text, 42, BYTES) {
        let pages: u64 = layout
            .spans(0..usize::MAX)
            .map(|span| (span.end - span.start) / 4096)
            .sum();
        assert_eq!(pages, BYTES as u64 / 4096);
    }
    if let Ok(blocks) = ram_blocks::parse(&text) {
        for video in [0, 16 << 20] {
            let own = Own {
                ram: 256 << 20,
                video,
            };
            let _ = ram_blocks::check(&blocks, own, &json!([]));
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    [
        "              Block Name    PSize              Offset               Used              Total\n                     ram    4 KiB  0x0000000000000000 0x0000000010000000 0x0000000010000000\n    /rom@etc/acpi/tables    4 KiB  0x0000000010040000 0x0000000000020000 0x0000000000200000\n",
        "Block Name PSize Offset Used Total HVA RO\npc.bios 2 MiB 0x0 0x40000 0x40000 0x7f0000000000 ro\n",
        "7f0000000000-7f0010000000 rw-s 00000000 00:01 42                         /memfd:kemari-ram (deleted)\n7e0000000000-7e0001000000 rw-s 10000000 00:01 42 /memfd:kemari-ram (deleted)\n7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
