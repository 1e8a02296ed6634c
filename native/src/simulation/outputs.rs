//! What guests have sent, and whether it has left.

use std::collections::HashMap;

use super::stamp::{Moment, Stamp};

/// A packet.
struct Sent {
    chain: u64,
    has_left: bool,
}

/// The packets of all lines.
#[derive(Default)]
pub(super) struct Outputs {
    sent: HashMap<Moment, Sent>,
}

impl Outputs {
    /// A guest has sent a packet.
    pub(super) fn sent(&mut self, stamp: Stamp) {
        let sent = Sent {
            chain: stamp.chain,
            has_left: false,
        };
        self.sent.insert(stamp.at, sent);
    }

    /// A packet has left; false if no guest has sent it.
    pub(super) fn left(&mut self, stamp: Stamp) -> bool {
        match self.sent.get_mut(&stamp.at) {
            Some(sent) if sent.chain == stamp.chain => {
                sent.has_left = true;
                true
            }
            _ => false,
        }
    }

    /// A packet that was sent up to `latest`, in its line, and has not left.
    pub(super) fn waiting(&self, latest: Moment) -> Option<Moment> {
        let of_line = self.sent.iter().filter(|(at, _)| at.line == latest.line);
        of_line
            .filter(|(at, sent)| at.number <= latest.number && !sent.has_left)
            .map(|(at, _)| *at)
            .min_by_key(|at| at.number)
    }
}
