import { residualOf } from '../trace/latency-error.js';
import { type FreeConstant, minimise } from '../trace/minimise.js';
import { parseWords, usageError } from './arguments.js';
import { errorLines, loadOf, readSession, runSession, sessionOptions } from './session-run.js';
import type { Terminal } from './terminal.js';

export const usage = `
ultima fit SESSION --free FIELD=LOW..HIGH [--free ...] [options]

Adjust constants of a profile until a simulated card has the latencies of a recorded session, and
report what is left of the error. The profile itself stays as it is: the result is an address.

  --free FIELD=LOW..HIGH  a number of the profile as an address names it (media.readNs), and the
                          range that is physically possible; several times for several constants
  --card ADDRESS          where to start, sim:simple when left out
  --mode, --depth, --limit, -n, --json  as in 'ultima compare'; --limit 5000 when left out

  ultima fit session.csv --card sim:simple --free media.readNs=1000..200000
`;

const options = {
  ...sessionOptions,
  card: { type: 'string', default: 'sim:simple' },
  limit: { type: 'string', default: '5000' },
  free: { type: 'string', multiple: true },
} as const;

interface Free extends FreeConstant {
  readonly field: string;
}

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseWords(words, options);
  const [path, ...more] = positionals;
  if (path === undefined || more.length > 0) throw usageError('which session? one file');
  const free = (values.free ?? []).map(freeOf);
  if (free.length === 0) throw usageError('which constants? --free media.readNs=1000..200000');
  const session = await readSession(path, values.limit);
  const load = loadOf(session, values);
  const addressOf = (numbers: readonly number[]): string => {
    const pairs = free.map(({ field }, i) => `${field}=${Math.round(numbers[i]!)}`);
    return `${values.card}${values.card.includes('?') ? '&' : '?'}${pairs.join('&')}`;
  };
  const before = residualOf((await runSession(values.card, session, load)).errors);
  const found = await minimise(free, async (numbers) => {
    const { errors } = await runSession(addressOf(numbers), session, load);
    const residual = residualOf(errors);
    terminal.progress(`residual ${residual.toFixed(4)} at ${addressOf(numbers)}`);
    return residual;
  });
  // A range that leaves the best out must not make things worse.
  const address = found.residual < before ? addressOf(found.values) : values.card;
  const { errors } = await runSession(address, session, load);
  const residual = residualOf(errors);
  if (values.json) {
    const fitted = Object.fromEntries(
      free.map(({ field }, i) => [field, Math.round(found.values[i]!)]),
    );
    const { evaluations } = found;
    const result = { session: path, address, fitted, before, residual, evaluations, errors };
    terminal.out(`${JSON.stringify(result, null, 2)}\n`);
    return 0;
  }
  const lines = [
    ...free.map(({ field }, i) => `  ${field} = ${Math.round(found.values[i]!)} (fitted)`),
    ...errorLines(errors),
    `  residual ${before.toFixed(4)} before, ${residual.toFixed(4)} now, ${found.evaluations} runs`,
    `  ${address}`,
  ];
  terminal.out(`${lines.join('\n')}\n`);
  return 0;
}

function freeOf(text: string): Free {
  const match = /^([\w.]+)=(\d+)\.\.(\d+)$/.exec(text);
  const low = Number(match?.[2]);
  const high = Number(match?.[3]);
  if (match === null || low < 1 || high <= low) {
    throw usageError(`--free ${text}: FIELD=LOW..HIGH with integers, 1 <= LOW < HIGH`);
  }
  return { field: match[1]!, low, high, start: Math.round(Math.sqrt(low * high)) };
}
