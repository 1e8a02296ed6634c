//! A simulator of two or three hosts that runs the real primary and the real secondary: with a clock of its own, a network that breaks
//! anywhere, guests that tell when they sent what, and a cluster that gives orders by the rules. Everything that happens is
//! decided by one seed, so that what was found once is found again.
//!
//! ```text
//!   story ── chance ──► cluster ── orders ──► node: Engine<Simulated>, Primary | Secondary (the real ones)
//!     │                                         │        │           │
//!     └── faults ──► network ◄── transport ─────┘        │ machine   │ device
//!                                                        ▼           ▼
//!                                              oracle: what was captured, held, seen
//! ```
//!
//! `KEMARI_SIMULATION=17` plays seed 17 alone and prints what happens; `KEMARI_SIMULATION=20000..90000` plays those seeds.

mod cluster;
mod faults;
mod invariant;
mod machine;
mod meeting;
mod network;
mod node;
mod oracle;
mod outputs;
mod seeds;
mod stamp;
mod story;
mod tally;
mod tampering;
mod world;
