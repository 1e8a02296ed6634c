import type { Place } from './place.js';
import type { Topology } from './vm.js';
import { qemuName, wholeNumber } from './values.js';

export interface Cpu {
  /** For QEMU's -cpu. */
  readonly cpu: string;
  readonly topology: Topology | undefined;
}

/** Nested virtualization keeps state that a checkpoint does not have. */
const NESTING = ['svm', 'vmx'];
const WITHOUT_NESTING = NESTING.map((name) => `${name}=off`);
/** libvirt's default, which is QEMU's. */
export const DEFAULT_CPU: Cpu = { cpu: ['qemu64', ...WITHOUT_NESTING].join(','), topology: undefined };

const MODEL_EXAMPLE = "<cpu mode='custom' match='exact'><model>Skylake-Server</model></cpu>";

function feature(place: Place): string {
  const name = qemuName(place, place.required('name', 'aes'), 'aes');
  const policy = place.required('policy', 'require');
  const isOn = policy === 'require' || policy === 'force';
  if (isOn && NESTING.includes(name))
    return place.refuseSpare(
      'asks for nested virtualization, whose state a checkpoint does not have: remove it',
    );
  if (isOn) return `${name}=on`;
  if (policy === 'disable' || policy === 'forbid') return `${name}=off`;
  return place.refuse(
    `has the policy "${policy}": write require or disable, so that both nodes have the same CPU`,
  );
}

function topologyOf(place: Place): Topology {
  const one = (name: string): number => wholeNumber(place, place.attribute(name) ?? '1', name, 1, 64);
  if (one('clusters') !== 1) return place.refuse('has clusters: x86-64 has none');
  return { sockets: one('sockets'), dies: one('dies'), cores: one('cores'), threads: one('threads') };
}

export function readCpu(place: Place): Cpu {
  const mode = place.oneOf('mode', ['custom', 'host-passthrough', 'maximum', 'host-model']);
  place.oneOf('match', ['exact', 'strict']);
  place.oneOf('check', ['none', 'partial', 'full']);
  place.oneOf('migratable', ['on']);
  const model = place.one('model', (inner) => {
    inner.oneOf('fallback', ['forbid', 'allow']);
    return qemuName(inner, inner.text(), 'Skylake-Server');
  });
  const features = place.all('feature', feature);
  const topology = place.one('topology', topologyOf);
  if (mode === 'host-model' || mode === 'maximum')
    return place.refuse(
      `has mode='${mode}', which depends on the host: write the model, as ${MODEL_EXAMPLE}`,
    );
  if (mode === 'host-passthrough' && model !== undefined)
    return place.refuse("has mode='host-passthrough' and a <model>: remove one of them");
  const name = mode === 'host-passthrough' ? 'host' : (model ?? 'qemu64');
  const nesting = WITHOUT_NESTING.filter((word) => !features.includes(word));
  return { cpu: [name, ...nesting, ...features].join(','), topology };
}
