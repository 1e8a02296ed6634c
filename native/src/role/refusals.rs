//! Callers that are sent away: told why each time, and said here once.

use super::{Engine, PeerCaller, Ports};
use crate::link::complaints::Complaints;
use crate::wire::{RefuseCode, limits::WORDS_MAX};

/// What was said of whom: two strangers in turns are not news each time.
#[derive(Debug, Default)]
pub(super) struct Refusals(Complaints<(RefuseCode, String)>);

impl Refusals {
    pub(super) fn refuse<P: Ports>(
        &mut self,
        engine: &Engine<P>,
        caller: PeerCaller<P>,
        code: RefuseCode,
        message: String,
    ) {
        let now = engine.now();
        for ((code, node), times) in self.0.due(now) {
            tracing::warn!(?code, node, times, "a caller was refused again");
        }
        let node: String = caller.hello.node.chars().take(WORDS_MAX).collect();
        if self.0.note((code, node.clone()), now) {
            let said = format!("{node} was refused: {message}");
            engine.complain(said.chars().take(2 * WORDS_MAX).collect());
        }
        caller.refuse(code, message);
    }
}
