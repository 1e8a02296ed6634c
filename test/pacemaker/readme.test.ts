import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { parameterList } from '../../src/pacemaker/parameters.js';

test('the README has the table of the parameters as it is', async () => {
  const readme = await readFile(new URL('../../ocf/README.md', import.meta.url), 'utf8');
  const rows = parameterList.map(([name, { fallback, reloadable = false, long }]) => {
    const otherwise = fallback === undefined ? 'needed' : fallback === '' ? '' : `\`${fallback}\``;
    return `| \`${name}\` | ${otherwise} | ${reloadable ? 'yes' : ''} | ${long.replaceAll('\n', ' ')} |`;
  });
  for (const row of rows) expect(readme).toContain(row);
});
