//! Both directions of one connection.

use std::io::{self, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use kemari_engine::link::Key;

use super::Shared;
use super::fault::{Fault, spoil, wait_at_trap};
use super::frame::{
    ACK, BEGIN, COMMIT, Frame, HANDOVER, HANDOVER_ACK, HEADER_BYTES, HEARTBEAT, OUTPUTS, SYNC_BEGIN,
};
use crate::common::side::{Side, connect_from};

/// First byte of a frame that is sent in clear.
const FRAME_BYTE: u8 = b'K';
/// Room for what one read brings, of whole TLS records.
const READ_BYTES: usize = 128 << 10;

/// Both directions of one connection.
pub(super) fn carry(
    primary: TcpStream,
    upstream: &str,
    key: Key,
    shared: &Shared,
) -> io::Result<()> {
    primary.set_nonblocking(false)?;
    let mut first = [0];
    primary.peek(&mut first)?;
    let key = (first[0] != FRAME_BYTE).then_some(key);
    // As if it came from the engine itself.
    let from = primary.peer_addr()?.ip();
    let secondary = connect_from(from, upstream.parse().expect("an address"))?;
    let secondary = Side::connect(secondary, key.clone())?;
    let primary = Side::accept(primary, key)?;
    {
        let mut state = shared.lock();
        if state.closed || state.over {
            return Ok(());
        }
        for side in [&primary, &secondary] {
            state.connections.push(side.socket().try_clone()?);
        }
    }
    let hang_up = || {
        let _ = primary.socket().shutdown(Shutdown::Both);
        let _ = secondary.socket().shutdown(Shutdown::Both);
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = carry_data(&primary, &secondary, shared);
            hang_up();
        });
        let _ = carry_answers(&secondary, &primary, shared);
        hang_up();
    });
    Ok(())
}

/// From the primary to the secondary.
fn carry_data(primary: &Side, mut secondary: &Side, shared: &Shared) -> io::Result<()> {
    let mut primary = BufReader::with_capacity(READ_BYTES, primary);
    // Frames that may still pass before the fault happens.
    let mut doom: Option<(usize, Fault)> = None;
    let mut last_commit: Option<Vec<u8>> = None;
    loop {
        let frame = Frame::read(&mut primary)?;
        shared.lock().carried.add(&frame);
        shared.wait_while_hushed();
        match frame.kind {
            SYNC_BEGIN => shared.lock().baselines += 1,
            HEARTBEAT => shared.lock().heartbeats += 1,
            OUTPUTS if frame.is_plain() => {
                let payload = &frame.bytes[HEADER_BYTES..];
                shared.lock().outputs.sent(frame.epoch, payload);
            }
            _ => {}
        }
        if frame.kind == BEGIN {
            doom = wait_at_trap(shared, frame.epoch);
        }
        match &mut doom {
            Some((frames, _)) if *frames > 0 && frame.kind != COMMIT => *frames -= 1,
            Some((_, fault)) => {
                let fault = *fault;
                doom = None;
                let outcome = spoil(
                    fault,
                    &frame,
                    &mut primary,
                    secondary,
                    last_commit.as_deref(),
                );
                shared.lock().spoiled += 1;
                outcome?;
                continue;
            }
            None => {}
        }
        secondary.write_all(&frame.bytes)?;
        match frame.kind {
            COMMIT => last_commit = Some(frame.bytes.clone()),
            HANDOVER => shared.lock().offered = true,
            _ => {}
        }
        let pace = shared.lock().bytes_per_second;
        if let Some(pace) = pace {
            let bytes = u32::try_from(frame.bytes.len()).expect("a frame is small");
            thread::sleep(Duration::from_secs(1) * bytes / pace);
        }
    }
}

/// From the secondary to the primary.
fn carry_answers(secondary: &Side, mut primary: &Side, shared: &Shared) -> io::Result<()> {
    let mut secondary = BufReader::with_capacity(READ_BYTES, secondary);
    let mut is_mute = false;
    loop {
        let frame = Frame::read(&mut secondary)?;
        shared.wait_while_hushed();
        // Held while the frame is written, so that nothing slips through once a test has said stop.
        let mut state = shared.lock();
        let withholds = |first| frame.epoch >= first;
        is_mute |= (frame.kind == ACK && state.withhold_acks.is_some_and(withholds))
            || (frame.kind == HANDOVER_ACK && state.withhold_handover_ack);
        if is_mute {
            state.withheld += 1;
            continue;
        }
        primary.write_all(&frame.bytes)?;
        match frame.kind {
            ACK => {
                (state.last_ack, state.acks) = (frame.epoch, state.acks + 1);
                state.outputs.acked(frame.epoch);
            }
            HEARTBEAT => state.heartbeats += 1,
            _ => {}
        }
    }
}
