//! Packets in the order in which the guest sent them, in one buffer that is used again.

/// What a packet takes at least of a bound: Ethernet has no shorter ones, and then the bound is one on their number, too.
const PACKET_MIN_BYTES: usize = 64;

/// A list of packets.
#[derive(Debug, Default)]
pub struct PacketLog {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    charged: usize,
}

impl PacketLog {
    /// An empty list that has the memory for any packets that are charged with `bytes` bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            ends: Vec::with_capacity(bytes.div_ceil(PACKET_MIN_BYTES)),
            charged: 0,
        }
    }

    /// Adds a packet at the end.
    pub fn push(&mut self, packet: &[u8]) {
        self.bytes.extend_from_slice(packet);
        self.ends.push(self.bytes.len());
        self.charged += packet.len().max(PACKET_MIN_BYTES);
    }

    /// Moves all packets of `other` to the end of this list.
    pub fn append(&mut self, other: &mut Self) {
        let base = self.bytes.len();
        self.bytes.append(&mut other.bytes);
        self.ends.extend(other.ends.drain(..).map(|end| base + end));
        self.charged += std::mem::take(&mut other.charged);
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.charged = 0;
    }

    /// Bytes that all packets take of a bound.
    pub fn charged(&self) -> usize {
        self.charged
    }

    /// How many packets.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all packets.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Where its memory is and how much it is.
    #[cfg(test)]
    pub(super) fn memory(&self) -> [usize; 4] {
        let (bytes, ends) = (&self.bytes, &self.ends);
        [
            bytes.as_ptr().addr(),
            bytes.capacity(),
            ends.as_ptr().addr(),
            ends.capacity(),
        ]
    }

    /// The packets in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let packet = &self.bytes[start..end];
            start = end;
            packet
        })
    }
}
