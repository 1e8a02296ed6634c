// One picture of a run: how far each figure is from its target. A bar that stays within the line is good.
import { shown } from '../statistics.js';
import type { Verdict } from './fields.js';

const WIDTH = 860;
const ROW = 26;
const LABEL = 300;
const NUMBER = 150;
const TOP = 48;
/** A bar is cut off at this many times its bound. */
const LONGEST = 2;
const COLOURS = { met: '#2a7f4f', missed: '#b3392f' } as const;

/** What a bar shows: the share of its bound that a figure takes, 1 at the bound and above it when the bound is broken. */
export function shareOf({ field, value, outcome }: Verdict, floor: number | null): number | undefined {
  if (value === null || !field.target || (outcome !== 'met' && outcome !== 'missed')) return undefined;
  const { most, least, times } = field.target;
  const base = times === undefined ? 1 : (floor ?? NaN);
  const share = most === undefined ? (least ?? NaN) / value : value / (most * base);
  return Number.isFinite(share) ? share : undefined;
}

/** An SVG document. */
export function plot(verdicts: readonly Verdict[], title: string): string {
  const floor = verdicts.find(({ field }) => field.name === 'floor_p50_ms')?.value ?? null;
  const scale = (WIDTH - LABEL - NUMBER) / LONGEST;
  const bars = verdicts.flatMap((verdict) => {
    const share = shareOf(verdict, floor);
    return share === undefined ? [] : [{ verdict, share }];
  });
  const height = TOP + bars.length * ROW + 16;
  const lines = bars.map(({ verdict, share }, index) => {
    const y = TOP + index * ROW;
    const colour = verdict.outcome === 'met' ? COLOURS.met : COLOURS.missed;
    const { field, value, wanted } = verdict;
    const number = `${shown(value ?? NaN)} (${wanted})`;
    return [
      `<text x="${LABEL - 8}" y="${y + 15}" text-anchor="end">${escaped(field.title)}</text>`,
      `<rect x="${LABEL}" y="${y + 3}" width="${(Math.min(share, LONGEST) * scale).toFixed(1)}" height="16" fill="${colour}"/>`,
      `<text x="${WIDTH - NUMBER + 8}" y="${y + 15}">${escaped(number)}</text>`,
    ].join('');
  });
  const bound = LABEL + scale;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="white"/>`,
    `<text x="16" y="24" font-size="15">${escaped(title)}</text>`,
    ...lines,
    `<line x1="${bound}" x2="${bound}" y1="${TOP - 6}" y2="${height - 10}" stroke="black" stroke-dasharray="4 3"/>`,
    `<text x="${bound}" y="${TOP - 10}" text-anchor="middle">to reach</text>`,
    '</svg>\n',
  ].join('\n');
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
