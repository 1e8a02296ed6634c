import type { Environment } from '../common/paths.js';

/** Every word that `kemari` knows, as data. Each loads its code only when it runs. */
export interface Command {
  readonly name: string;
  readonly summary: string;
  /** action: an OCF action, all from the environment. person: read by yargs. internal: not in the help. */
  readonly kind: 'action' | 'person' | 'internal';
  readonly arguments?: readonly {
    readonly name: string;
    readonly required: boolean;
    readonly summary: string;
  }[];
  readonly switches?: readonly { readonly name: string; readonly summary: string }[];
  readonly examples?: readonly (readonly [command: string, meaning: string])[];
  run(env: Environment, given: Given): Promise<number>;
}

export interface Given {
  readonly arguments: readonly string[];
  readonly switches: ReadonlySet<string>;
}

export const commands: readonly Command[] = [
  {
    name: 'monitor',
    summary: 'Say what runs here (OCF action)',
    kind: 'action',
    run: async (env) => {
      const [{ monitor }, alone, deeply] = await Promise.all([
        import('../actions/monitor.js'),
        import('../actions/monitor-alone.js'),
        import('../actions/monitor-deeply.js'),
      ]);
      return await monitor(env, { ...alone, ...deeply });
    },
  },
  {
    name: 'start',
    summary: 'Start the secondary role (OCF action)',
    kind: 'action',
    run: async (env) => (await import('../actions/start.js')).start(env),
  },
  {
    name: 'stop',
    summary: 'End everything of the resource on this node (OCF action)',
    kind: 'action',
    run: async (env) => (await import('../actions/stop.js')).stop(env),
  },
  {
    name: 'promote',
    summary: 'Run the guest here (OCF action)',
    kind: 'action',
    run: async (env) => (await import('../actions/promote.js')).promote(env),
  },
  {
    name: 'demote',
    summary: 'Hand the guest over (OCF action)',
    kind: 'action',
    run: async (env) => (await import('../actions/demote.js')).demote(env),
  },
  {
    name: 'reload-agent',
    summary: 'Take other values of reloadable parameters, while the guest runs on (OCF action)',
    kind: 'action',
    run: async (env) => (await import('../actions/reload-agent.js')).reloadAgent(env),
  },
  {
    name: 'notify',
    summary: 'Log who is where; always succeeds (OCF action)',
    kind: 'action',
    run: async (env) => (await import('../actions/notify.js')).notify(env),
  },
  {
    name: 'meta-data',
    summary: "Print the agent's metadata (OCF action)",
    kind: 'action',
    run: async () => (await import('../actions/meta-data.js')).metaData(),
  },
  {
    name: 'validate-all',
    summary: 'Check parameters, and with OCF_CHECK_LEVEL=10 this host (OCF action)',
    kind: 'action',
    run: async (env) => (await import('../actions/validate-all.js')).validateAll(env),
  },
  {
    name: 'supervise',
    summary: 'The process that start leaves behind',
    kind: 'internal',
    run: async (env, given) => (await import('../supervise/run.js')).supervise(given.arguments[0] ?? '', env),
  },
  {
    name: 'read-state',
    summary: 'Print state.json of a resource',
    kind: 'internal',
    run: async (env, given) =>
      (await import('../actions/state-command.js')).readStateCommand(given.arguments[0] ?? '', env),
  },
  {
    name: 'settle-state',
    summary: 'Write state.json of a resource whose engine is to end',
    kind: 'internal',
    run: async (env, given) =>
      (await import('../actions/state-command.js')).settleStateCommand(given.arguments[0] ?? '', env),
  },
  {
    name: 'man',
    summary: 'Print a manual page: agent or program',
    kind: 'internal',
    run: async (_env, given) => {
      const [{ agentPage, commandPage }, { writeAll }] = await Promise.all([
        import('./man.js'),
        import('../common/write-all.js'),
      ]);
      writeAll(1, given.arguments[0] === 'program' ? commandPage(commands) : agentPage());
      return 0;
    },
  },
  {
    name: 'keygen',
    summary: 'Make the key with which the two hosts know each other',
    kind: 'person',
    arguments: [{ name: 'file', required: false, summary: 'where, if not /etc/kemari/sync.key' }],
    switches: [
      { name: 'force', summary: 'replace the key that is there' },
      { name: 'json', summary: 'one JSON object on one line' },
    ],
    examples: [['kemari keygen', 'once, on one node; then copy the file to the other']],
    run: async (_env, given) =>
      (await import('../actions/keygen.js')).keygen({
        file: given.arguments[0],
        force: given.switches.has('force'),
        json: given.switches.has('json'),
      }),
  },
  {
    name: 'check-config',
    summary: 'Say what a VM will look like, or what is wrong with its description',
    kind: 'person',
    arguments: [{ name: 'file', required: true, summary: 'libvirt domain XML' }],
    switches: [
      { name: 'allow-qemu-commandline', summary: 'judge <qemu:commandline> as with that parameter' },
      { name: 'json', summary: 'one JSON object on one line' },
    ],
    examples: [['kemari check-config /etc/kemari/vm1.xml', 'all that is wrong with it, by line']],
    run: async (_env, given) =>
      (await import('../actions/check-config.js')).checkConfig({
        file: given.arguments[0] ?? '',
        json: given.switches.has('json'),
        allowed: { qemu_commandline: given.switches.has('allow-qemu-commandline') },
      }),
  },
  {
    name: 'import',
    summary: 'Make the description of a VM that ocf:heartbeat:VirtualDomain runs today',
    kind: 'person',
    arguments: [
      { name: 'file', required: true, summary: 'what virsh dumpxml wrote' },
      { name: 'output', required: false, summary: 'where, if not /etc/kemari/NAME.xml' },
    ],
    switches: [
      {
        name: 'allow-qemu-commandline',
        summary: 'keep what <qemu:commandline> may have with that parameter',
      },
      { name: 'force', summary: 'replace the file that is there' },
    ],
    examples: [
      ['kemari import /etc/libvirt/qemu/db.xml', 'writes /etc/kemari/db.xml, and says what to type'],
    ],
    run: async (_env, given) =>
      (await import('../actions/import-domain.js')).importDomain({
        file: given.arguments[0] ?? '',
        output: given.arguments[1],
        force: given.switches.has('force'),
        allowed: { qemu_commandline: given.switches.has('allow-qemu-commandline') },
      }),
  },
  {
    name: 'status',
    summary: 'Show the resources that run on this node',
    kind: 'person',
    arguments: [{ name: 'resource', required: false, summary: 'only this one' }],
    switches: [{ name: 'json', summary: 'one JSON object on one line' }],
    examples: [
      ['kemari status', 'every resource of this node'],
      ['kemari status vm1 --json', 'one resource, for a script'],
    ],
    run: async (env, given) =>
      (await import('../actions/status.js')).status(
        { resource: given.arguments[0], json: given.switches.has('json') },
        env,
      ),
  },
];
