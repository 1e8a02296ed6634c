//! What the supervisor orders.

use super::super::replica::ReplicaState;
use super::super::{Engine, Fatal, Next, Ports, check_guest};
use super::connection::Connection;
use super::{Secondary, Turn};
use crate::control::{ErrorCode, OkBody, Order, OrderCommand, PromoteMode};
use crate::limits::FAREWELL_TIMEOUT;
use crate::report;
use crate::wire::ControlKind;

impl<P: Ports> Secondary<P> {
    pub(super) fn obey(
        mut self: Box<Self>,
        engine: &mut Engine<P>,
        order: Order,
    ) -> Result<Turn<P>, Fatal> {
        match order.command {
            OrderCommand::Promote {
                mode: PromoteMode::Hot,
                generation,
            } => match self.refuse_hot(engine, generation) {
                Some((code, message)) => order.reply.error(code, message),
                None => {
                    return self
                        .promote_hot(engine, generation, order.reply)
                        .map(Turn::Leave);
                }
            },
            OrderCommand::Promote {
                mode: PromoteMode::Cold,
                generation,
            } => match self.refuse_cold(engine) {
                Some((code, message)) => order.reply.error(code, message),
                None => {
                    return self
                        .promote_cold(engine, generation, order.reply)
                        .map(Turn::Leave);
                }
            },
            OrderCommand::Demote { .. }
            | OrderCommand::EnterSolo { .. }
            | OrderCommand::PressPowerButton
            | OrderCommand::EndGuest
            | OrderCommand::RestartStatistics => order.reply.error(
                ErrorCode::WrongRole,
                format!(
                    "this needs a primary; this engine is secondary ({:?})",
                    self.replica.state
                ),
            ),
            OrderCommand::CheckGuest => check_guest(&mut self.guest, order.reply)?,
            OrderCommand::Configure { tuning } => {
                order.reply.configured(engine.configure(&tuning));
            }
            OrderCommand::Stop => {
                self.say_farewell(engine);
                order.reply.ok(OkBody::Empty);
                return Ok(Turn::Leave(Next::Stopped));
            }
        }
        Ok(Turn::Stay(self))
    }

    /// Tells the primary that this replica will never be resumed, so that it need not wait for us.
    fn say_farewell(&mut self, engine: &Engine<P>) {
        if self.replica.state == ReplicaState::HandedOver {
            return;
        }
        if let Some(Connection {
            link, generation, ..
        }) = &mut self.link
        {
            link.encoder()
                .control(ControlKind::Farewell, *generation, self.replica.epoch, &[]);
            if let Err(error) = link.flush_all(&[], FAREWELL_TIMEOUT, &engine.clock, || {}) {
                tracing::warn!(
                    error = report::chain(&error),
                    "the farewell did not reach the primary"
                );
            }
        }
    }
}
