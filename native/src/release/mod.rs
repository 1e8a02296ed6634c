//! The only way out: packets reach the world here, and only for one who can show a permit.

mod outlet;
mod permit;

pub use outlet::{Device, Outlet};
pub use permit::{Acked, Awaited, PeerOutdated, Solo};
