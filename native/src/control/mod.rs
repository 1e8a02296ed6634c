//! The control channel: a unix socket on which the supervisor asks and the engine answers, one JSON object per line.
//!
//! ```text
//!  supervisor ── {"v":1,"id":3,"command":"promote",…} ──▶ control thread ── Order ──▶ data thread
//!             ◀── {"v":1,"id":3,"ok":{…}} ─────────────── control thread ◀─ ReplyHandle ─┘
//!             ◀── {"v":1,"event":"state",…} ───────────── control thread ◀─ EventSender
//! ```
//!
//! `status` and `subscribe` are answered by the control thread itself, from what the data thread last published: it
//! answers while the data thread waits for QEMU.

pub mod board;
mod client;
mod inbox;
pub mod limits;
mod listener;
pub mod messages;
pub mod server;
#[cfg(test)]
mod tests;

pub use board::StatusBoard;
#[cfg(test)]
pub(crate) use inbox::{Desk, News};
pub use inbox::{EventSender, Order, OrderCommand, ReplyHandle};
pub use messages::{
    DemoteOutcome, ErrorBody, ErrorCode, Event, OkBody, PromoteMode, Role, State, Status,
};
pub use server::Server;
