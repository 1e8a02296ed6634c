//! Every bound of the engine, in one place.

use std::time::Duration;

use crate::wire::limits::STAGING_RETAINED_BYTES;

/// Other nodes that may have the replica: a cluster of Corosync has 32 at most.
pub const PEERS_MAX: usize = 31;
/// How long nobody is called after another node than the one that was called has answered.
pub const STRANGER_REST: Duration = Duration::from_secs(1);
/// How long a supervisor may be away before another one is started.
pub const SUPERVISOR_ABSENCE_MAX: Duration = Duration::from_secs(1);
/// Between two such starts, at least.
pub const SUPERVISORS_APART: Duration = Duration::from_secs(10);
/// Words that a description may add to QEMU's command line.
pub const QEMU_ARGUMENTS_MAX: usize = 64;
/// Bytes of such a word.
pub const QEMU_ARGUMENT_MAX_BYTES: usize = 1024;
/// Guest page size that the tracker, the wire and the replica use.
pub const PAGE_BYTES: usize = 4096;
/// Largest guest that is accepted (MiB).
pub const MEMORY_MAX_MIB: u32 = 1 << 20;
/// Pages that one capture can stage while the guest is paused; a larger one is sent while the guest waits.
pub const STAGING_PAGES: usize = 4096;
/// Most bytes of outputs that may be held, if somebody wants that many.
pub const HOLD_MAX_BYTES: usize = 256 << 20;
/// A guest without a link may write so many times what an epoch may have: nothing ends that epoch until the link is back, and
/// then the guest stands still while all of it is sent.
pub const FROZEN_EPOCHS: u64 = 16;
/// Longest time for which a running guest may write before somebody looks how much: what it writes meanwhile an epoch can have
/// too many.
pub const LOOK_MAX: Duration = Duration::from_millis(10);
/// Shortest such time.
pub const LOOK_MIN: Duration = Duration::from_millis(1);
/// Memory that the data path takes at its start, so that nothing is allocated later. Only a simulator, which begins
/// thousands of lives a second, takes less than [`Sizes::FULL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Pages that one capture can stage while the guest is paused; a larger one is sent while the guest waits.
    pub staging_pages: usize,
    /// Largest device state.
    pub device_state_bytes: usize,
    /// Pages whose contents on the secondary a primary keeps; a power of two.
    pub shadow_pages: usize,
    /// Pages of the baseline that are sent between two looks at the guest's packets.
    pub baseline_chunk_pages: usize,
    /// Staging memory of a secondary that is in place before the first transaction.
    pub assembly_bytes: usize,
}

impl Sizes {
    /// What an engine takes.
    pub const FULL: Self = Self {
        staging_pages: STAGING_PAGES,
        device_state_bytes: DEVICE_STATE_MAX_BYTES,
        shadow_pages: SHADOW_PAGES,
        baseline_chunk_pages: BASELINE_CHUNK_PAGES,
        assembly_bytes: STAGING_RETAINED_BYTES,
    };
}

/// Pages whose contents on the secondary a primary keeps, to send changes only.
pub const SHADOW_PAGES: usize = 2048;
/// What the pipe takes of a device state before the engine is done with guest RAM: a page is the least that the kernel has.
/// The state of any PC is larger.
pub const DEVICE_STATE_GATE_BYTES: usize = 4096;
/// What it takes afterwards: nearly every state at once.
pub const DEVICE_STATE_PIPE_BYTES: usize = 128 << 10;
/// Largest device state of a guest.
pub const DEVICE_STATE_MAX_BYTES: usize = crate::wire::limits::MAX_DEVICE_STATE;
/// Pages of a transaction that are applied between two looks at whether the peer should hear that we live.
pub const APPLY_TURN_PAGES: u32 = 4096;
/// Bytes of the baseline that are sent between two looks at the guest's packets.
pub const BASELINE_CHUNK_PAGES: usize = 256;
/// Send buffer of both ends of the guest's network socket: what QEMU could not send is lost at every stop.
pub const NET_SOCKET_BYTES: usize = 4 << 20;
/// Most network interfaces of a guest.
pub const INTERFACES_MAX: usize = 8;
/// Largest packet taken from the guest or the TAP: an Ethernet frame with the number of its interface.
pub const PACKET_MAX_BYTES: usize = 65_600;
/// Packets forwarded to the guest or released without a look at anything else.
pub const PACKETS_PER_TURN: usize = 64;
/// Longest packet into the guest that is copied to the secondary.
pub const MIRRORED_PACKET_MAX_BYTES: usize = 16 << 10;
/// Packets into the guest that a secondary keeps for each of two epochs, and of those that came while nobody ran it.
pub const MIRRORED_INPUTS_MAX_BYTES: usize = 256 << 10;
/// Longest time without a word from the primary that a secondary thinks nothing of; at least three ages of an epoch.
pub const PRIMARY_SILENCE: Duration = Duration::from_millis(350);
/// Shortest time between two such moments: a bridge that has forgotten everything floods for a while.
pub const SILENCES_APART: Duration = Duration::from_secs(2);
/// Packets that came while nobody ran the guest are kept for this long, and up to twice as long.
pub const STRAYS_AGE: Duration = Duration::from_secs(10);
/// Bytes waiting for the secondary beyond which it gets no copies of packets into the guest.
pub const MIRRORING_BACKLOG_MAX_BYTES: usize = 1 << 20;
/// Longest wait for QEMU's answer to one command.
pub const QMP_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a QEMU to start and to hand over its userfaultfd.
pub const QEMU_START_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait of a primary for the result of a trial: the other host's QEMU may have to start first.
pub const TRIAL_TIMEOUT: Duration = Duration::from_secs(90);
/// Pause after a trial that has failed: each one costs a whole baseline.
pub const TRIALS_APART: Duration = Duration::from_secs(30);
/// Most that is read from QEMU at once; what it sends as a packet is far shorter.
pub const QMP_READ_BYTES: usize = 16 << 10;
/// Longest line from QEMU.
pub const QMP_LINE_MAX_BYTES: usize = 1 << 20;
/// Time to connect to the peer and to exchange greetings with it.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// Callers that may be introducing themselves at the same time: strangers, and as many from the peer's address.
pub const INTRODUCTIONS_MAX: usize = 8;
/// Callers that may begin to introduce themselves within a second: strangers, and as many from the peer's address. A
/// peer tries four times; an introduction costs half a millisecond of a processor.
pub const INTRODUCTIONS_PER_SECOND: usize = 20;
/// Shortest time between two lines in the log about the same fault of callers.
pub const COMPLAINTS_APART: Duration = Duration::from_secs(60);
/// Most kinds of fault that are told apart within that time.
pub const COMPLAINTS_MAX: usize = 16;
/// Most bytes of a caller that are read and forgotten while it is sent away.
pub const FORGOTTEN_MAX_BYTES: usize = 128 << 10;
/// Longest file of a sync key; one has 119 bytes.
pub const KEY_FILE_MAX_BYTES: u64 = 4096;
/// When a side of the link has said nothing for so long, it sends a heartbeat.
pub const SIGN_OF_LIFE_EVERY: Duration = Duration::from_millis(250);
/// A peer that has said nothing at all for so long is given up: before Pacemaker's next monitor (every 5 s), so that this
/// sees what is.
pub const PEER_SILENCE: Duration = Duration::from_secs(3);
/// Pause between two attempts to reach the peer.
pub const REDIAL_PAUSE: Duration = Duration::from_millis(250);
/// Share of the hold's bound at which the guest is paused: what QEMU has queued must still fit above it.
pub const HOLD_HIGH_WATER_PERCENT: usize = 50;
/// How long a primary that has handed its guest over goes on sending the guest's inputs after it.
pub const FORWARD_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for the farewell to leave when a secondary is stopped.
pub const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest time of a transaction on its way that is believed.
pub const TRANSIT_MAX: Duration = Duration::from_secs(60);
/// Largest difference of two hosts' clocks of the day that agree.
pub const HOST_CLOCKS_AGREE: Duration = Duration::from_millis(500);
/// Transactions by which that is judged.
pub const HOST_CLOCKS_REMEMBERED: usize = 16;
/// Time over which the share of the guest's pauses is told.
pub const PAUSED_SHARE_WINDOW: Duration = Duration::from_secs(5);
/// Samples of it.
pub const PAUSED_SHARE_SAMPLES: usize = 64;
/// How often the data thread wakes when nothing happens, so that a stuck one is told from an idle one.
pub const HEARTBEAT: Duration = Duration::from_millis(500);
/// Regions that one scan of the page map can report; the kernel takes memory for as many at each call.
pub const SCAN_REGIONS: usize = 128;
/// Pages that are protected at a time when tracking begins: 5 ms, in which a guest that writes may have to wait.
pub const REARMED_AT_ONCE_PAGES: usize = 1 << 14;
/// Memory mappings that QEMU needs for itself, out of those that the kernel lets it have; a guest has about a thousand.
pub const QEMU_MAPPINGS: usize = 8192;

// A secondary takes whatever a primary may hold: besides what was held when the guest was stopped there is what its QEMU had
// queued, each packet has a length before it, and there is the device state.
const _: () = assert!(
    (HOLD_MAX_BYTES + 2 * NET_SOCKET_BYTES) / 8 * 9 + crate::wire::limits::MAX_DEVICE_STATE
        <= crate::wire::limits::STAGING_SLACK_BYTES
);
const _: () = assert!(PEER_SILENCE.as_millis() >= 8 * SIGN_OF_LIFE_EVERY.as_millis());
const _: () = assert!(PEER_SILENCE.as_secs() < 5);

/// Where a display listens whose port nobody has chosen: as VNC viewers count displays from 0.
pub const VNC_PORTS: std::ops::RangeInclusive<u16> = 5900..=5999;
