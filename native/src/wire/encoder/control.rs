//! Frames that stand alone.

use super::super::frame::FrameKind;

/// Frames that stand alone and need nothing proven first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlKind {
    /// See [`FrameKind::Hello`].
    Hello,
    /// See [`FrameKind::Welcome`].
    Welcome,
    /// See [`FrameKind::Refuse`].
    Refuse,
    /// See [`FrameKind::SyncBegin`].
    SyncBegin,
    /// See [`FrameKind::Handover`].
    Handover,
    /// See [`FrameKind::HandoverAck`].
    HandoverAck,
    /// See [`FrameKind::Farewell`].
    Farewell,
    /// See [`FrameKind::End`].
    End,
    /// See [`FrameKind::EndAck`].
    EndAck,
    /// See [`FrameKind::Input`].
    Input,
    /// See [`FrameKind::Call`].
    Call,
    /// See [`FrameKind::Challenge`].
    Challenge,
    /// See [`FrameKind::Heartbeat`].
    Heartbeat,
    /// See [`FrameKind::TrialState`].
    TrialState,
    /// See [`FrameKind::Trial`].
    Trial,
    /// See [`FrameKind::TrialResult`].
    TrialResult,
}

impl ControlKind {
    pub(super) fn frame_kind(self) -> FrameKind {
        match self {
            Self::Hello => FrameKind::Hello,
            Self::Welcome => FrameKind::Welcome,
            Self::Refuse => FrameKind::Refuse,
            Self::SyncBegin => FrameKind::SyncBegin,
            Self::Handover => FrameKind::Handover,
            Self::HandoverAck => FrameKind::HandoverAck,
            Self::Farewell => FrameKind::Farewell,
            Self::End => FrameKind::End,
            Self::EndAck => FrameKind::EndAck,
            Self::Input => FrameKind::Input,
            Self::Call => FrameKind::Call,
            Self::Challenge => FrameKind::Challenge,
            Self::Heartbeat => FrameKind::Heartbeat,
            Self::TrialState => FrameKind::TrialState,
            Self::Trial => FrameKind::Trial,
            Self::TrialResult => FrameKind::TrialResult,
        }
    }
}
