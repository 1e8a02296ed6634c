// The demo's story, on a lab that is up: protect a guest, cut the power under it, let the dead host come back, move the
// guest home. All of it on one TCP connection.
import { setTimeout as sleep } from 'node:timers/promises';
import { promotedNode } from '../../lab/cluster-status.js';
import { configureFencing } from '../../lab/fencing.js';
import { domainPath, domainXml, writeDomain } from '../../lab/kemari/domain.js';
import { installKemari } from '../../lab/kemari/install.js';
import { createCommand, moveCommand, waitUntilPlaced } from '../../lab/kemari/resource.js';
import { resourceStatus, waitUntilProtected, type EngineStatus } from '../../lab/kemari/status.js';
import type { Lab } from '../../lab/lab.js';
import type { PowerEvent } from '../../lab/power/client.js';
import { Traffic } from '../../lab/traffic/traffic.js';
import { waitFor } from '../../lab/wait-for.js';
import { watchCluster } from './cluster-watch.js';
import { engineExtraMemory_mib, monitorTime_ms } from './footprint.js';
import { seconds, type Narrator } from './narrator.js';
import type { DemoResult } from './result.js';

const RESOURCE = 'vm1';
const GUEST_MIB = 256;
const PROTECTED_SPAN_MS = 8000;
const AFTER_SPAN_MS = 2000;

export class DemoStory {
  readonly #lab: Lab;
  readonly #narrator: Narrator;
  readonly #power: PowerEvent[] = [];
  #checkpoints = 0;

  constructor(lab: Lab, narrator: Narrator) {
    this.#lab = lab;
    this.#narrator = narrator;
    lab.power.watch((event) => this.#power.push(event));
  }

  async tell(): Promise<{ result: DemoResult; survivor: string }> {
    const lab = this.#lab;
    const narrator = this.#narrator;
    await this.#prepare();
    const first = await this.#create();
    const survivor = lab.nodes.find((node) => node !== first) ?? '';

    narrator.title('Traffic: one TCP connection to a counter in the guest');
    await narrator.wait('the guest boots', Traffic.guestIsUp(lab));
    const monitor_p50_ms = await monitorTime_ms(lab, first, RESOURCE);
    const traffic = await Traffic.start(lab);
    const phase = await this.#protectedPhase(traffic, first);
    const extra_mib = await Promise.all(lab.nodes.map((node) => engineExtraMemory_mib(lab, node, GUEST_MIB)));

    const failover = await this.#failover(traffic, first, survivor);
    const reprotect_ms = await this.#comeBack(traffic, first, survivor);
    const reprotected = (await resourceStatus(lab, survivor, RESOURCE)).engine?.state === 'protected';
    const planned_move_gap_ms = await this.#move(traffic, survivor, first);

    const verdict = await traffic.stop();
    return {
      survivor,
      result: {
        connection_survived: verdict.broken === undefined && verdict.garbage.length === 0,
        answers: verdict.answered,
        answers_lost: verdict.answers_lost,
        answers_repeated: verdict.answers_repeated,
        ...failover,
        reprotected,
        reprotect_ms,
        planned_move_gap_ms: rounded(planned_move_gap_ms),
        checkpoints: this.#checkpoints,
        ...phase,
        engine_extra_memory_mib: Math.max(...extra_mib),
        monitor_p50_ms,
      },
    };
  }

  async #prepare(): Promise<void> {
    const lab = this.#lab;
    this.#narrator.title('Two hosts with Corosync, Pacemaker and fencing');
    await this.#narrator.wait(
      'install Kemari and the guest image on both, make a key (kemari keygen) and copy it',
      Promise.all([configureFencing(lab), installKemari(lab)]),
    );
    await writeDomain(lab, RESOURCE, domainXml());
    this.#narrator.say(
      `the guest's libvirt domain XML is ${domainPath(RESOURCE)}, the same file on both hosts`,
    );
  }

  async #create(): Promise<string> {
    const lab = this.#lab;
    const narrator = this.#narrator;
    narrator.title('A protected virtual machine');
    const create = createCommand(lab, RESOURCE);
    narrator.command('n1', create);
    await lab.node('n1').run(create);
    const promoted = await narrator.wait('start and promote', waitUntilPlaced(lab, 'n1', RESOURCE, 120_000));
    await narrator.wait(
      `copy the guest to the other host (${promoted} runs it)`,
      waitUntilProtected(lab, promoted, RESOURCE, 120_000),
    );
    narrator.command('n1', ['crm_mon', '-1']);
    narrator.output(await lab.node('n1').run(['crm_mon', '-1']));
    return promoted;
  }

  async #protectedPhase(traffic: Traffic, node: string) {
    const narrator = this.#narrator;
    const from_ms = Date.now();
    await narrator.wait(
      'traffic, every answer held until the other host has it',
      sleep(PROTECTED_SPAN_MS),
      () => {
        return `${traffic.answers.list.length} answers`;
      },
    );
    const echo = traffic.answers.percentiles(from_ms, Date.now());
    const engine = await this.#engine(node);
    narrator.say(
      `${echo.count} answers, round trip ${echo.p50.toFixed(2)} ms; ${engine.checkpoints} checkpoints`,
    );
    return {
      pause_p50_ms: (engine.pause_us?.p50 ?? NaN) / 1000,
      pause_p99_ms: (engine.pause_us?.p99 ?? NaN) / 1000,
      echo_p50_ms: rounded(echo.p50),
      echo_p99_ms: rounded(echo.p99),
      accel: engine.accel,
    };
  }

  async #failover(traffic: Traffic, victim: string, survivor: string) {
    const lab = this.#lab;
    const narrator = this.#narrator;
    narrator.title(`Power failure of ${victim}, which runs the guest`);
    this.#checkpoints += (await this.#engine(victim)).checkpoints;
    let cut_ms = Date.now();
    const call = (text: string, time_ms = Date.now()): void => {
      narrator.say(`+${((time_ms - cut_ms) / 1000).toFixed(2)} s  ${text}`);
    };
    const stopWatching = await watchCluster(lab, survivor, call);
    cut_ms = Date.now();
    await lab.power.crash(victim);
    call(`the power of ${victim} is cut: every process on it is dead`, cut_ms);
    // Answers that were on their way are not the guest's new life.
    const first = await waitFor(
      'an answer from the promoted guest',
      async () => {
        const answer = traffic.answers.list.findLast((one) => one.arrived_ms > cut_ms);
        const status = await lab.status(survivor);
        return (
          promotedNode(status, RESOURCE) === survivor &&
          answer &&
          traffic.answers.firstAfter(this.#offTime_ms(victim))
        );
      },
      { timeout_ms: 60_000, interval_ms: 50 },
    );
    const crash_to_first_reply_ms = first.arrived_ms - cut_ms;
    call('the guest answers again, on the same connection', first.arrived_ms);
    stopWatching();
    narrator.command(survivor, ['crm_mon', '-1']);
    narrator.output(await lab.node(survivor).run(['crm_mon', '-1']));
    const promoted_node = promotedNode(await lab.status(survivor), RESOURCE) ?? '';

    const solo_ms = Date.now();
    const back_ms = await narrator.wait(
      'traffic without a replica, until the dead host has power again',
      waitFor('power', () => this.#timeOf('on', victim, cut_ms), { timeout_ms: 60_000 }),
      () => `${traffic.answers.list.length} answers`,
    );
    const unprotected = traffic.answers.percentiles(solo_ms, back_ms);
    return {
      // The power controller says "off" when nothing of the host runs any more.
      fenced: this.#offTime_ms(victim) <= first.arrived_ms,
      promoted_node,
      crash_to_first_reply_ms: Math.round(crash_to_first_reply_ms),
      echo_unprotected_p50_ms: rounded(unprotected.p50),
    };
  }

  async #comeBack(traffic: Traffic, returned: string, survivor: string): Promise<number> {
    const lab = this.#lab;
    const narrator = this.#narrator;
    narrator.title(`${returned} comes back`);
    const on_ms =
      this.#power.findLast((one) => one.event === 'on' && one.node === returned)?.time_ms ?? Date.now();
    let progress = '';
    const timer = setInterval(() => {
      resourceStatus(lab, survivor, RESOURCE).then(
        ({ engine }) => (progress = engine?.sync_progress ? `copied ${engine.sync_progress.percent}%` : ''),
        () => undefined,
      );
    }, 500);
    await narrator
      .wait(
        'it boots, joins the cluster and gets a new replica, while the guest runs',
        waitUntilProtected(lab, survivor, RESOURCE, 90_000),
        () => progress,
      )
      .finally(() => {
        clearInterval(timer);
      });
    const protected_ms = Date.now();
    await waitUntilPlaced(lab, survivor, RESOURCE);
    await traffic.answered(1);
    narrator.say(`protected again, ${seconds(protected_ms - on_ms)} after power-on`);
    return protected_ms - on_ms;
  }

  async #move(traffic: Traffic, from: string, to: string): Promise<number> {
    const lab = this.#lab;
    const narrator = this.#narrator;
    narrator.title(`Planned move back to ${to}`);
    await sleep(AFTER_SPAN_MS);
    this.#checkpoints += (await this.#engine(from)).checkpoints;
    narrator.command(from, moveCommand(RESOURCE, to));
    const from_ms = Date.now();
    await narrator.wait('move', lab.node(from).run(moveCommand(RESOURCE, to)));
    const promoted = await waitUntilPlaced(lab, from, RESOURCE);
    if (promoted !== to) throw new Error(`the move left ${RESOURCE} on ${promoted}`);
    await traffic.answered(1);
    const gap_ms = traffic.answers.longestGap_ms(from_ms, Date.now());
    await narrator.wait(`protected on ${to}`, waitUntilProtected(lab, to, RESOURCE));
    await traffic.answered(100);
    this.#checkpoints += (await this.#engine(to)).checkpoints;
    narrator.say(`moved; the longest time without an answer was ${Math.round(gap_ms)} ms`);
    return gap_ms;
  }

  async #engine(node: string): Promise<EngineStatus> {
    const { engine } = await resourceStatus(this.#lab, node, RESOURCE);
    if (!engine) throw new Error(`${RESOURCE} has no engine on ${node}`);
    return engine;
  }

  #timeOf(event: string, node: string, from_ms: number): number | undefined {
    return this.#power.find((one) => one.event === event && one.node === node && one.time_ms > from_ms)
      ?.time_ms;
  }

  /** When the fence agent had the answer that nothing of `node` runs: infinite when it never had. */
  #offTime_ms(node: string): number {
    return this.#power.findLast((one) => one.event === 'off' && one.node === node)?.time_ms ?? Infinity;
  }
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
