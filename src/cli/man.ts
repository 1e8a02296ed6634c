import { exitMeanings } from '../pacemaker/exit-codes.js';
import { advice, longDescription } from '../pacemaker/metadata.js';
import { parameterList } from '../pacemaker/parameters.js';
import { version } from '../common/version.js';
import type { Command } from './commands.js';

/** Text for roff: a line of its own, whatever it begins with. */
function text(words: string): string {
  return words
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('\n', ' ')
    .replace(/^(?=[.'])/, '\\&');
}

function item(head: string, ...lines: readonly string[]): string {
  return ['.TP', `.B ${text(head)}`, ...lines.map(text)].join('\n');
}

function page(
  name: string,
  section: number,
  summary: string,
  parts: readonly (readonly [string, string])[],
): string {
  return [
    `.TH ${name.toUpperCase()} ${section} "" "Kemari ${version}"`,
    '.SH NAME',
    `${text(name)} \\- ${text(summary)}`,
    ...parts.flatMap(([title, body]) => [`.SH ${title}`, body]),
    '',
  ].join('\n');
}

/** ocf_kemari_vm(7): the agent, from the tables that it is made of. */
export function agentPage(): string {
  const parameters = parameterList.map(([name, { kind, fallback, reloadable = false, long }]) => {
    const words = kind.words === undefined ? (kind.noun ?? kind.type) : kind.words.join(' | ');
    const otherwise =
      fallback === undefined ? 'needed' : fallback === '' ? 'optional' : `default ${fallback}`;
    return item(
      name,
      `(${words}; ${otherwise}${reloadable ? '; taken by a running VM as it is' : ''})`,
      long,
    );
  });
  const actions = advice.map(({ name, timeout, interval, role, depth, on_fail }) =>
    item(
      [
        name,
        ...(role === undefined ? [] : [`(${role})`]),
        ...(depth === undefined ? [] : [`OCF_CHECK_LEVEL=${depth}`]),
      ].join(' '),
      [
        `advised: timeout ${timeout}`,
        ...(interval === undefined ? [] : [`interval ${interval}`]),
        ...(on_fail === undefined ? [] : [`on-fail ${on_fail}`]),
      ].join(', '),
    ),
  );
  return page('ocf_kemari_vm', 7, 'virtual machine that survives the death of its host', [
    ['DESCRIPTION', text(longDescription)],
    ['PARAMETERS', parameters.join('\n')],
    ['ACTIONS', actions.join('\n')],
    [
      'EXIT CODES',
      Object.entries(exitMeanings)
        .map(([code, meaning]) => item(code, meaning))
        .join('\n'),
    ],
    ['SEE ALSO', '.BR kemari (8),\n.BR pcs (8),\n.BR crm_mon (8)'],
  ]);
}

/** kemari(8): the commands that people type. */
export function commandPage(commands: readonly Command[]): string {
  const items = commands
    .filter(({ kind }) => kind === 'person')
    .map(({ name, summary, arguments: places = [], switches = [], examples = [] }) =>
      [
        item(
          [name, ...places.map((one) => (one.required ? `<${one.name}>` : `[${one.name}]`))].join(' '),
          `${summary}.`,
        ),
        '.RS',
        ...places.map((one) => item(one.name, one.summary)),
        ...switches.map((one) => item(`--${one.name}`, one.summary)),
        ...examples.map(([line, meaning]) => item(line, meaning)),
        '.RE',
      ].join('\n'),
    );
  return page('kemari', 8, 'keeps virtual machines running when the hosts under them die', [
    ['SYNOPSIS', '.B kemari\n.I COMMAND'],
    [
      'DESCRIPTION',
      text(
        'The program of the resource agent ocf:kemari:vm, and the commands that people type beside their cluster shell.',
      ),
    ],
    ['COMMANDS', items.join('\n')],
    ['SEE ALSO', '.BR ocf_kemari_vm (7)'],
  ]);
}
