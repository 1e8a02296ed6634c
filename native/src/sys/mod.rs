//! The only place with `unsafe` and ioctls: each file wraps one kernel interface in a safe type.

pub mod bridge;
pub mod clock_page;
pub mod descriptor;
pub mod interface;
pub mod memory;
pub mod pagemap;
pub mod process;
pub mod userfault;
pub mod wake_latency;
