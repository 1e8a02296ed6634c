//! The sync engine: keeps a replica of a running QEMU guest on a second host.
//!
//! The folders are the stages of the data path, in the order in which an output travels: `hold`, `checkpoint`, `wire`,
//! (on the other host) `role/secondary`, `release`. `role` is the thread that moves everything along it.

pub mod checkpoint;
pub mod clock;
pub mod control;
mod fault;
pub mod guest;
pub mod hold;
pub mod host;
pub mod interfaces;
pub mod limits;
pub mod link;
pub mod qmp;
pub mod release;
pub mod report;
pub mod role;
pub mod run;
pub mod spec;
pub mod supervisor;
pub mod sys;
pub mod wake;
pub mod wire;

#[cfg(test)]
mod simulation;
