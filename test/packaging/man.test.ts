import { existsSync } from 'node:fs';
import { execa } from 'execa';
import { describe, expect, inject, test } from 'vitest';
import { commands } from '../../src/cli/commands.js';
import { parameterList } from '../../src/pacemaker/parameters.js';

async function page(name: string): Promise<string> {
  return (await execa(process.execPath, [inject('kemari'), 'man', name])).stdout;
}

describe.each(['agent', 'program'])('the manual page of the %s', (name) => {
  test.runIf(existsSync('/usr/bin/groff'))('is taken by groff without a warning', async () => {
    const input = `${await page(name)}\n`;
    const shown = await execa('groff', ['-man', '-ww', '-Tutf8', '-rLL=100n', '-'], { input, reject: false });
    expect(shown).toMatchObject({ exitCode: 0, stderr: '' });
  });
});

test('every parameter, and every command that people type, is in them', async () => {
  const [agent, program] = [await page('agent'), await page('program')];
  for (const [name] of parameterList) expect(agent).toContain(`\n.B ${name}\n`);
  for (const { name, kind } of commands)
    if (kind === 'person') expect(program).toContain(`\n.B ${name.replaceAll('-', '\\-')}`);
});
