// A guest that is asked to power itself off, as the button of a machine does.
import { setTimeout as sleep } from 'node:timers/promises';
import { limits } from '../common/limits.js';
import { standsFrozen, type EngineState, type EngineStatus, type TuningChange } from './messages.js';

/** Whoever can be told what to do with the guest. */
export interface GuestOwner {
  status(): Promise<EngineStatus>;
  configure(change: TuningChange): Promise<void>;
  pressPowerButton(): Promise<void>;
}

/** The guest runs here. */
const RUNNING: readonly EngineState[] = ['solo', 'syncing', 'protected', 'frozen'];

/** Asks a guest that runs here. @returns false if none does */
export async function askToPowerOff(owner: GuestOwner): Promise<boolean> {
  const engine = await owner.status();
  if (!RUNNING.includes(engine.state)) return false;
  // One that is paused because nobody acknowledges its outputs would not hear it.
  if (standsFrozen(engine)) await owner.configure({ freeze_timeout_ms: 0, commit: 'pipelined' });
  await owner.pressPowerButton();
  return true;
}

/** Waits for the end of one that was asked. @returns false if it did not come in time */
export async function hasPoweredOff(owner: GuestOwner, deadline: number): Promise<boolean> {
  while (Date.now() < deadline) {
    const { state, guest, paused_for } = await owner.status();
    // Without a link nobody acknowledges its end; but it does not run any more, and waits for nothing.
    if (state === 'ended' || (state === 'frozen' && guest === 'paused' && paused_for === null)) return true;
    await sleep(limits.shutdown_poll_ms);
  }
  return false;
}
