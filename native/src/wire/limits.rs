//! Every bound of the protocol, in one place.

/// Protocol version that this engine speaks.
pub const PROTOCOL_VERSION: u16 = 6;
/// Size of a guest page, bytes.
pub const PAGE_BYTES: usize = 4096;
/// Size of a frame's header, bytes.
pub const HEADER_BYTES: usize = 64;
/// Most payload in one frame, bytes: 256 pages and room for their table.
pub const MAX_PAYLOAD: usize = (1 << 20) + (64 << 10);
/// Most bytes of one frame, header included.
pub const MAX_FRAME_BYTES: usize = HEADER_BYTES + MAX_PAYLOAD;
/// Most pages with contents in one frame (zero pages are not counted: they have no bytes).
pub const MAX_RAW_PAGES_PER_FRAME: usize = 256;
/// Most runs in one frame.
pub const MAX_RUNS_PER_FRAME: usize = 1024;
/// Longest `Deltas` payload, bytes; there is one in a transaction. What does not fit is sent as whole pages.
pub const MAX_DELTAS_PAYLOAD: usize = 1 << 20;
/// Longest patch of a page, bytes: a longer one saves too little.
pub const PATCH_MAX_BYTES: usize = PAGE_BYTES / 2;
/// Most device state in one frame, bytes.
pub const MAX_DEVICE_STATE_PER_FRAME: usize = 1 << 20;
/// Longest device state, bytes.
pub const MAX_DEVICE_STATE: usize = 4 << 20;
/// Longest `DeviceDelta` payload, bytes; there is one in a transaction. A state with more changes is sent whole.
pub const MAX_DEVICE_DELTA_PAYLOAD: usize = 1 << 20;
/// Shortest payload that is packed, bytes: a shorter one saves less than its frame costs.
pub const PACK_MIN_BYTES: usize = 512;
/// Bytes on which a codec is tried out.
pub const SAMPLE_BYTES: usize = 16 << 10;
/// Longest packet, bytes: 64 KiB of segmentation offload, the Ethernet header and the virtio-net header.
pub const MAX_PACKET: usize = 65_600;
/// An `Outputs` frame is closed when its payload would grow beyond this, bytes.
pub const OUTPUTS_PER_FRAME: usize = 256 << 10;
/// Longest JSON payload (`Hello`, `Welcome`, `Refuse`), bytes.
pub const MAX_HELLO: usize = 64 << 10;
/// Most characters of an explanation: of a refusal, and of a trial that has failed; each may need six bytes of JSON.
pub const WORDS_MAX: usize = 2000;
/// Longest description of a machine in a `Hello`, bytes of JSON; the rest of the `Hello` is names and numbers.
pub const MAX_FINGERPRINT: usize = MAX_HELLO - (4 << 10);
/// Buffer of a [`super::FrameReader`], bytes: holds at least two of the largest frames.
pub const READER_BYTES: usize = 4 << 20;
/// Least room that a [`super::FrameReader`] offers to a read, bytes: two of the largest TLS records, so that what an
/// encrypted stream has of one before never has to wait in it for room.
pub const READ_MIN_BYTES: usize = 36 << 10;
/// Segments handed to one vectored write.
pub const SEGMENTS_PER_WRITE: usize = 64;
/// Memory that an emptied [`super::Outgoing`] keeps for the next use, bytes.
pub const OUTGOING_RETAINED_BYTES: usize = 4 << 20;
/// Least that has been written of a buffer that is never empty before it is taken out of it.
pub const OUTGOING_FORGOTTEN_MIN_BYTES: usize = 256 << 10;
/// Memory that a reset [`super::Assembly`] keeps for the next transaction unless told otherwise, bytes.
pub const STAGING_RETAINED_BYTES: usize = 20 << 20;
/// Device state, outputs and tables that a transaction may carry beside the guest's RAM, bytes: a bound, and no memory that
/// is taken before it is needed.
pub const STAGING_SLACK_BYTES: usize = 512 << 20;

/// Default bound of a staged transaction: all of the guest's RAM and [`STAGING_SLACK_BYTES`], bytes.
pub fn default_staging_bytes(guest_pages: u64) -> usize {
    usize::try_from(guest_pages)
        .unwrap_or(usize::MAX)
        .saturating_mul(PAGE_BYTES)
        .saturating_add(STAGING_SLACK_BYTES)
}

const _: () = assert!(READER_BYTES >= 2 * MAX_FRAME_BYTES);
const _: () =
    assert!(4 + 16 * MAX_RUNS_PER_FRAME + MAX_RAW_PAGES_PER_FRAME * PAGE_BYTES <= MAX_PAYLOAD);
const _: () = assert!(MAX_DELTAS_PAYLOAD <= MAX_PAYLOAD);
const _: () = assert!(MAX_DEVICE_STATE_PER_FRAME <= MAX_PAYLOAD);
const _: () = assert!(MAX_DEVICE_DELTA_PAYLOAD <= MAX_PAYLOAD);
const _: () = assert!(MAX_DEVICE_STATE <= u32::MAX as usize);
const _: () = assert!(4 + OUTPUTS_PER_FRAME + 4 + MAX_PACKET <= MAX_PAYLOAD);
const _: () = assert!(MAX_HELLO <= MAX_PAYLOAD);
const _: () = assert!(WORDS_MAX * 6 + 100 <= MAX_HELLO);
