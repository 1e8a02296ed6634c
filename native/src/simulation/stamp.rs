//! What packets and device states tell of where they come from.

/// A point in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Moment {
    pub(super) line: u64,
    pub(super) number: u64,
}

/// Bytes at the start of a packet and of a device state that tell where they come from.
pub(super) const STAMP_BYTES: usize = 32;

/// What both a packet and a device state begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) at: Moment,
    /// Everything that the guest has done up to then, mixed.
    pub(super) chain: u64,
    /// Number of the capture; 0 in a packet.
    pub(super) capture: u64,
}

impl Stamp {
    pub(super) fn encode(self, bytes: usize) -> Vec<u8> {
        let fields = [self.at.line, self.at.number, self.chain, self.capture];
        let mut encoded: Vec<u8> = fields.into_iter().flat_map(u64::to_le_bytes).collect();
        // What follows is a function of the stamp, so that a wrong byte anywhere is noticed.
        let mut state = self.chain ^ self.capture;
        while encoded.len() < bytes {
            state = mix(state, encoded.len() as u64);
            encoded.extend_from_slice(&state.to_le_bytes());
        }
        encoded.truncate(bytes.max(STAMP_BYTES));
        encoded
    }

    /// `None` if any byte is not as it was made.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (fields, _) = bytes.get(..STAMP_BYTES)?.as_chunks::<8>();
        let field = |at: usize| u64::from_le_bytes(fields[at]);
        let at = Moment {
            line: field(0),
            number: field(1),
        };
        let stamp = Self {
            at,
            chain: field(2),
            capture: field(3),
        };
        (stamp.encode(bytes.len()) == bytes).then_some(stamp)
    }
}

/// Both numbers, mixed into one.
pub(super) fn mix(state: u64, with: u64) -> u64 {
    let mixed = (state ^ with.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}
