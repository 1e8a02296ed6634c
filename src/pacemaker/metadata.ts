import { parameterList } from './parameters.js';

interface ActionAdvice {
  readonly name: string;
  readonly timeout: string;
  readonly interval?: string;
  readonly role?: 'Promoted' | 'Unpromoted';
  /** OCF_CHECK_LEVEL; of a monitor 0 if it is not said. */
  readonly depth?: string;
  /** What its failure is to lead to, if it is not Pacemaker's own way; the metadata have no word for it. */
  readonly on_fail?: 'demote';
}

/**
 * start never waits for a sync; demote may have to finish one. The monitors differ in their intervals, as Pacemaker demands.
 *
 * on-fail=demote, where Pacemaker would stop and start what failed before it promotes anything: a primary that hangs is demoted and
 * the replica promoted, and after a promote that failed the replica, which may be the last copy, stays for another try. Not for
 * level 20: what that finds sick is to be booted anew.
 */
export const advice: readonly ActionAdvice[] = [
  { name: 'start', timeout: '90s' },
  { name: 'stop', timeout: '120s' },
  { name: 'promote', timeout: '120s', on_fail: 'demote' },
  { name: 'demote', timeout: '120s' },
  { name: 'monitor', timeout: '20s', interval: '10s', role: 'Unpromoted' },
  { name: 'monitor', timeout: '20s', interval: '5s', role: 'Promoted', on_fail: 'demote' },
  { name: 'monitor', timeout: '30s', interval: '31s', role: 'Promoted', depth: '20' },
  { name: 'reload-agent', timeout: '20s' },
  { name: 'notify', timeout: '10s' },
  { name: 'meta-data', timeout: '5s' },
  { name: 'validate-all', timeout: '20s' },
];

export const longDescription = `Runs a virtual machine on the promoted node and keeps a copy of it on the other one, so close behind
that nothing the outside world has seen is missing from it. When the promoted node is lost, Pacemaker fences it and
promotes the copy; TCP connections of the guest live on. Use it as a promotable clone with two instances, with fencing.`;

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

function attributes(pairs: Readonly<Record<string, string | undefined>>): string {
  return Object.entries(pairs)
    .map(([name, value]) => (value === undefined ? '' : ` ${name}="${escape(value)}"`))
    .join('');
}

/** One line: the table's sentences are broken where its source is. */
function sentence(text: string): string {
  return escape(text.replaceAll('\n', ' '));
}

function parameterXml([name, one]: (typeof parameterList)[number]): string {
  const { kind, fallback, reloadable = false, short, long } = one;
  const required = fallback === undefined;
  const flags = { name, required: required ? '1' : '0', reloadable: reloadable ? '1' : '0' };
  // One that is nowhere if it is left out has no default.
  const content = { type: kind.type, default: fallback === '' ? undefined : fallback };
  return `    <parameter${attributes(flags)}>
      <longdesc lang="en">${sentence(long)}</longdesc>
      <shortdesc lang="en">${sentence(short)}</shortdesc>
      <content${attributes(content)}/>
    </parameter>`;
}

function actionXml({ name, timeout, interval, role, depth }: ActionAdvice): string {
  const level = depth ?? (name === 'monitor' ? '0' : undefined);
  return `    <action${attributes({ name, timeout, interval, depth: level, role })}/>`;
}

/**
 * OCF 1.1 metadata, without a word on its encoding: crmsh has its text decoded already when it reads it, and refuses one that
 * says how. ocf-tester's DTD is OCF 1.0: the internal subset adds what 1.1 has, and passes both 1.1 schemas.
 */
export function metadataXml(version: string): string {
  return `<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd" [
  <!ATTLIST action name CDATA #REQUIRED>
  <!ATTLIST parameter unique-group CDATA #IMPLIED reloadable (0|1) #IMPLIED>
]>
<resource-agent${attributes({ name: 'vm', version })}>
  <version>1.1</version>
  <longdesc lang="en">${escape(longDescription)}</longdesc>
  <shortdesc lang="en">Virtual machine that survives the death of its host</shortdesc>
  <parameters>
${parameterList.map(parameterXml).join('\n')}
  </parameters>
  <actions>
${advice.map(actionXml).join('\n')}
  </actions>
</resource-agent>
`;
}
