import { AgentError } from '../common/error.js';
import type { Environment } from '../common/paths.js';

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

interface Parameter {
  readonly name: string;
  readonly type: 'string';
  readonly required: boolean;
  readonly default?: string;
  readonly short: string;
  readonly long: string;
  /** @returns what is wrong with the value, as the rest of "parameter NAME ..." */
  complaint(value: string): string | undefined;
}

/** The one table of the OCF parameters: validation, metadata and help are made from it. */
export const parameters = [
  {
    name: 'config',
    type: 'string',
    required: true,
    short: 'VM config file',
    long: 'Path of the JSON file that describes the virtual machine and the two hosts. It must be the same on both nodes.',
    complaint: (value) =>
      value.startsWith('/')
        ? undefined
        : `must be an absolute path such as /etc/kemari/vm1.json, not "${value}"`,
  },
  {
    name: 'log_level',
    type: 'string',
    required: false,
    default: 'info',
    short: 'Log level',
    long: `What goes to /var/log/kemari: ${logLevels.join(', ')}.`,
    complaint: (value) =>
      logLevels.some((level) => level === value)
        ? undefined
        : `must be one of ${logLevels.join(', ')}, not "${value}"`,
  },
] as const satisfies readonly Parameter[];

export interface ParameterValues {
  readonly config: string;
  readonly log_level: LogLevel;
}

/** @throws AgentError bad-parameter: wrong on every node. */
export function readParameters(env: Environment): ParameterValues {
  const values = new Map<string, string>();
  for (const parameter of parameters as readonly Parameter[]) {
    const given = env[`OCF_RESKEY_${parameter.name}`];
    const value = given === undefined || given === '' ? parameter.default : given;
    if (value === undefined) {
      throw new AgentError(
        'bad-parameter',
        `parameter ${parameter.name} is missing: set it to the ${parameter.short} (pcs resource update RESOURCE ${parameter.name}=...)`,
      );
    }
    const complaint = parameter.complaint(value);
    if (complaint !== undefined) {
      throw new AgentError('bad-parameter', `parameter ${parameter.name} ${complaint}`);
    }
    values.set(parameter.name, value);
  }
  return { config: values.get('config') ?? '', log_level: (values.get('log_level') ?? 'info') as LogLevel };
}
