//! Whether all that a QEMU has built can be carried to the other host: looked at before a guest runs in it.

use serde_json::Value;

use crate::guest::dirty::{Layout, TrackerError};
use crate::guest::error::{GuestError, call};
use crate::guest::identity;
use crate::guest::monitor::Monitor;
use crate::guest::ram_blocks::{self, Own};
use crate::spec::Machine;
use crate::sys::memory::MemoryFile;

/// Every device's state can be saved.
///
/// # Errors
/// [`GuestError::NotMigratable`] if not.
pub(super) fn state(monitor: &mut Monitor) -> Result<(), GuestError> {
    let answer = monitor.execute("query-migrate", &Value::Null)?;
    match answer["blocked-reasons"].as_array() {
        Some(reasons) if !reasons.is_empty() => {
            let reasons: Vec<&str> = reasons.iter().filter_map(Value::as_str).collect();
            Err(GuestError::NotMigratable(reasons.join("; ")))
        }
        _ => Ok(()),
    }
}

/// A replica has what is in `file`, and the devices' state: there must be no other memory that can change.
///
/// # Errors
/// A [`GuestError`] that names the memory.
pub(super) fn memory(
    monitor: &mut Monitor,
    machine: &Machine,
    file: &MemoryFile,
    pid: u32,
) -> Result<(), GuestError> {
    let list = identity::human(monitor, "info ramblock")?;
    let blocks = ram_blocks::parse(list.as_str().unwrap_or_default())?;
    let pci = monitor.execute("query-pci", &Value::Null)?;
    let own = Own {
        ram: machine.ram_bytes() as u64,
        video: machine.video_bytes() as u64,
    };
    ram_blocks::check(&blocks, own, &pci)?;
    // That the blocks are there does not say that they are made of our file.
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))
        .map_err(call("reading QEMU's memory map"))?;
    let inode = file.inode().map_err(call("fstat"))?;
    match Layout::read(&maps, inode, file.bytes()) {
        Some(_) => Ok(()),
        None => Err(TrackerError::Mapping { pid }.into()),
    }
}
