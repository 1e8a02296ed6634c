//! The control channel on real sockets.

mod bench;
mod clients;
mod end;
mod orders;
