//! What the kernel answers when a bridge is asked to forget.

use kemari_engine::sys::bridge;

pub fn run(data: &[u8]) {
    if let Err(error) = bridge::understand(data) {
        assert!(!error.to_string().is_empty());
    }
}

/// Netlink's acknowledgement, a refusal with what was asked behind it, and a message of another kind.
pub fn seeds() -> Vec<Vec<u8>> {
    [(2u16, 0i32), (2, -95), (2, -1), (3, 0), (16, 0)]
        .map(|(kind, code)| {
            let mut message = 36u32.to_le_bytes().to_vec();
            message.extend(kind.to_le_bytes());
            message.extend([0; 2]);
            message.extend([0; 8]);
            message.extend(code.to_le_bytes());
            message.extend([36, 0, 0, 0, 16, 0, 5, 0]);
            message.extend([0; 8]);
            message
        })
        .into()
}
