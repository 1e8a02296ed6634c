//! What an engine says about itself.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::checkpoint::{EncodingName, Tuning};

/// Whose guest runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The guest runs here.
    Primary,
    /// The replica is here.
    Secondary,
}

/// State of an engine; ARCHITECTURE.md has the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Secondary: QEMU waits with an empty replica.
    Empty,
    /// Secondary: a baseline is arriving.
    Receiving,
    /// Secondary: a complete replica of the last acked epoch.
    InSync,
    /// Secondary: the same, and the primary has given it the guest.
    HandedOver,
    /// Secondary: demoted while solo; the only copy, paused.
    Parked,
    /// Primary: runs without a replica, allowed to.
    Solo,
    /// Primary: runs, a replica is being built.
    Syncing,
    /// Primary: runs, outputs are held until acked.
    Protected,
    /// Primary: outputs are held because the replica may be gone.
    Frozen,
    /// Primary: the guest powered itself off.
    Ended,
}

/// What the guest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuestState {
    /// There is no QEMU.
    None,
    /// QEMU waits for a state to be loaded.
    Incoming,
    /// The guest runs (the short stops of checkpoints are not shown).
    Running,
    /// The guest is stopped.
    Paused,
    /// The guest powered itself off.
    Ended,
}

/// For what a guest that is stopped waits; none of it for long, unless the other host or the link to it is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PausedFor {
    /// For room: the outputs that wait for an ack come near `hold_bytes`.
    Hold,
    /// For the ack of its checkpoint, because `commit` is `sync`.
    Ack,
    /// For the ack of the last checkpoint: since that it has run for `max_epoch_age_ms` or written `max_epoch_bytes`. Or for the
    /// link, since it has written sixteen times as much without one.
    Epoch,
    /// For the other host: without it for `freeze_timeout_ms` its outputs went nowhere.
    Freeze,
}

/// How the engines speak to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// Within TLS 1.3, each with the key that both have.
    Tls,
    /// In clear.
    Plain,
}

/// How QEMU runs the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accel {
    /// By KVM.
    Kvm,
    /// By translation.
    Tcg,
}

/// How changed pages are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tracker {
    /// `PAGEMAP_SCAN` (Linux 6.7).
    PagemapScan,
    /// Comparison with the last copy (slow).
    Compare,
}

/// The engine on the other host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Whether the link to it is up and its handshake accepted.
    pub connected: bool,
    /// Its node name, once known.
    pub node: Option<String>,
    /// Its life, once known.
    pub engine_id: Option<Uuid>,
}

/// How far the baseline is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncProgress {
    /// 0 to 100.
    pub percent: u8,
    /// Pre-copy round, from 1.
    pub round: u32,
    /// Bytes sent or received so far.
    pub bytes: u64,
    /// Rate, bytes per second.
    pub bytes_per_second: u64,
    /// Bytes that the secondary lacks at this moment; what the guest writes meanwhile comes to that.
    pub remaining_bytes: u64,
    /// Estimate of how long it will take, seconds; null while nothing is known.
    pub remaining_seconds: Option<u64>,
    /// Share of the time for which the guest is paused because it writes faster than the link carries, percent.
    pub brake_percent: u8,
}

/// Quantiles of a measure; the field's name has the unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantiles {
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Largest.
    pub max: u64,
}

/// What pauses were spent on, microseconds, in the order of the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseParts {
    /// Until the vCPUs stand still.
    pub stop: Quantiles,
    /// Until QEMU has saved the state of CPUs and devices.
    pub save: Quantiles,
    /// Until the last outputs have been taken over.
    pub drain: Quantiles,
    /// Until the written pages are known.
    pub scan: Quantiles,
    /// Until they have been copied.
    pub copy: Quantiles,
    /// Until the vCPUs run again.
    pub cont: Quantiles,
}

impl PauseParts {
    /// From the parts in order; `None` if there is nothing to say of one.
    pub fn from_parts(parts: [Option<Quantiles>; 6]) -> Option<Self> {
        let [stop, save, drain, scan, copy, cont] = parts;
        Some(Self {
            stop: stop?,
            save: save?,
            drain: drain?,
            scan: scan?,
            copy: copy?,
            cont: cont?,
        })
    }
}

/// How long the last promotion took, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromotionTimes {
    /// Loading the device state.
    pub load: u64,
    /// All of it.
    pub total: u64,
}

/// What an engine and its host are, whatever becomes of the guest.
#[derive(Debug)]
pub struct Setting {
    /// This life of this engine.
    pub engine_id: Uuid,
    /// Name of the Pacemaker resource.
    pub resource: String,
    /// The other host, if it is known.
    pub peer: Option<String>,
    /// How the engines speak to each other.
    pub transport: Transport,
    /// How QEMU runs the guest, and why not otherwise.
    pub accel: (Accel, Option<String>),
    /// How changed pages are found, and why not otherwise.
    pub tracker: (Tracker, Option<String>),
    /// How the guest is to be kept in step.
    pub tuning: Tuning,
    /// QEMU's process id, if it runs.
    pub qemu_pid: Option<u32>,
}

/// Everything that `status` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// This life of this engine.
    pub engine_id: Uuid,
    /// Version of this engine.
    pub engine_version: String,
    /// Name of the Pacemaker resource.
    pub resource: String,
    /// Whose guest runs.
    pub role: Role,
    /// State of the engine.
    pub state: State,
    /// What the guest does.
    pub guest: GuestState,
    /// For what, if it is paused and is to run on.
    pub paused_for: Option<PausedFor>,
    /// The guest's generation.
    pub generation: u64,
    /// The last acked epoch (primary) or the last epoch held (secondary).
    pub epoch: u64,
    /// The engine on the other host.
    pub peer: Peer,
    /// How the engines speak to each other.
    pub transport: Transport,
    /// How QEMU runs the guest.
    pub accel: Accel,
    /// Why not otherwise.
    pub accel_reason: Option<String>,
    /// How changed pages are found.
    pub tracker: Tracker,
    /// Why not otherwise.
    pub tracker_reason: Option<String>,
    /// How epochs are sent, while the guest has a replica.
    pub encoding: Option<EncodingName>,
    /// How the guest is kept in step.
    pub tuning: Tuning,
    /// QEMU's process id, if it runs.
    pub qemu_pid: Option<u32>,
    /// How far the baseline is, while there is one.
    pub sync_progress: Option<SyncProgress>,
    /// Packets that wait for an ack.
    pub held_packets: u64,
    /// Their bytes.
    pub held_bytes: u64,
    /// Packets released since the engine started.
    pub released_packets: u64,
    /// Checkpoints acked since the engine started.
    pub checkpoints: u64,
    /// Pages of all of them.
    pub checkpoint_pages: u64,
    /// Bytes of all of them on the wire.
    pub checkpoint_bytes: u64,
    /// How long the guest was paused for a checkpoint, microseconds. All quantiles are those since the last
    /// `restart-statistics`.
    pub pause_us: Option<Quantiles>,
    /// What the pauses were spent on, microseconds.
    pub pause_parts_us: Option<PauseParts>,
    /// Share of the last seconds in which the guest stood still; unknown for a guest that does not run here.
    pub paused_percent: Option<u8>,
    /// By how much the guest's clocks are behind the host's, milliseconds; likewise.
    pub guest_lag_ms: Option<u64>,
    /// For how long the guest ran from one checkpoint to the next, microseconds.
    pub epoch_us: Option<Quantiles>,
    /// Pages of a checkpoint.
    pub dirty_pages: Option<Quantiles>,
    /// Bytes of a checkpoint on the wire.
    pub transaction_bytes: Option<Quantiles>,
    /// The last promotion, microseconds.
    pub promotion_us: Option<PromotionTimes>,
    /// How long ago the data thread last went round its loop, milliseconds. The board fills it in.
    pub data_thread_idle_ms: u64,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
}

impl Status {
    /// Of an engine whose first role has not said more: a secondary without a replica.
    pub fn at_start(setting: Setting) -> Self {
        let (accel, accel_reason) = setting.accel;
        let (tracker, tracker_reason) = setting.tracker;
        Self {
            engine_id: setting.engine_id,
            engine_version: env!("CARGO_PKG_VERSION").to_owned(),
            resource: setting.resource,
            role: Role::Secondary,
            state: State::Empty,
            guest: GuestState::Incoming,
            paused_for: None,
            generation: 0,
            epoch: 0,
            peer: Peer {
                connected: false,
                node: setting.peer,
                engine_id: None,
            },
            transport: setting.transport,
            accel,
            accel_reason,
            tracker,
            tracker_reason,
            encoding: None,
            tuning: setting.tuning,
            qemu_pid: setting.qemu_pid,
            sync_progress: None,
            held_packets: 0,
            held_bytes: 0,
            released_packets: 0,
            checkpoints: 0,
            checkpoint_pages: 0,
            checkpoint_bytes: 0,
            pause_us: None,
            pause_parts_us: None,
            paused_percent: None,
            guest_lag_ms: None,
            epoch_us: None,
            dirty_pages: None,
            transaction_bytes: None,
            promotion_us: None,
            data_thread_idle_ms: 0,
            last_error: None,
        }
    }
}
