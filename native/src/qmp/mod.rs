//! QEMU's control protocol (docs/interop/qmp-spec.rst), spoken over an inherited socket that nobody else can reach.

mod client;
mod message;

pub use client::{Events, Qmp, QmpError, Ticket};
pub use message::GuestEvent;
