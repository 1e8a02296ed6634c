//! How long the processors of this host may take to wake up: a request to the kernel that lasts as long as a file is open.
//!
//! Source: Linux `Documentation/power/pm_qos_interface.rst`, `/dev/cpu_dma_latency`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};

const DEVICE: &str = "/dev/cpu_dma_latency";
/// As if there were no request (`PM_QOS_CPU_LATENCY_DEFAULT_VALUE`).
pub const ANY_US: i32 = 2_000_000_000;

/// A request.
#[derive(Debug)]
pub struct WakeLatency {
    file: File,
}

impl WakeLatency {
    /// A request that asks for nothing yet.
    ///
    /// # Errors
    /// `EACCES` without the rights of root, `ENOENT` where the kernel has no such device.
    pub fn open() -> io::Result<Self> {
        let file = OpenOptions::new().write(true).open(DEVICE)?;
        let request = Self { file };
        request.ask(ANY_US)?;
        Ok(request)
    }

    /// From now on, at most `most_us` microseconds; 0 keeps the processors from sleeping at all.
    ///
    /// # Errors
    /// Whatever write(2) reports.
    pub fn ask(&self, most_us: i32) -> io::Result<()> {
        (&self.file).write_all(&most_us.to_ne_bytes())
    }
}
