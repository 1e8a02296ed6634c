//! What a QEMU writes to its standard output and error, which go to a file.

use std::fs;
use std::path::Path;

/// What QEMU said last; its own diagnosis.
pub(super) fn last_line(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text
        .lines()
        .rev()
        // Hints may follow the error itself.
        .find(|line| line.starts_with("qemu"))
        .or_else(|| text.lines().rev().find(|line| !line.trim().is_empty()))
        .unwrap_or("it said nothing");
    line.trim().chars().take(500).collect()
}
