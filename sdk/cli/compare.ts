import { residualOf } from '../trace/latency-error.js';
import { iopsOf } from '../trace/session.js';
import { parseWords, usageError } from './arguments.js';
import { errorLines, loadOf, readSession, runSession, sessionOptions } from './session-run.js';
import type { Terminal } from './terminal.js';

export const usage = `
ultima compare SESSION [options]

Replay the log of a session, recorded on any card with 'ultima replay --log FILE', on a simulated
card and print the error of its latency, per percentile. It OVERWRITES the namespace.

  --card ADDRESS       sim:ultima-g2 when left out
  -n, --namespace-id N 1 when left out
  --mode MODE          recorded: each request at its time; depth: so many in flight; auto (default):
                       depth when the session was a loop of fixed depth
  --depth N            the most that the session had in flight, when left out
  --limit N            the first N requests only
  --json               the result as one JSON object on standard output

An error is positive when the model is too slow. Percentiles with fewer than ten requests beyond
them are left out.
`;

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseWords(words, sessionOptions);
  const [path, ...more] = positionals;
  if (path === undefined || more.length > 0) throw usageError('which session? one file');
  const session = await readSession(path, values.limit);
  const load = loadOf(session, values);
  const { errors, iops } = await runSession(values.card, session, load);
  const residual = residualOf(errors);
  const recordedIops = iopsOf(session);
  if (values.json) {
    const { mode, depth } = load;
    const result = { session: path, card: values.card, mode, depth, recordedIops, iops, residual };
    terminal.out(`${JSON.stringify({ ...result, errors }, null, 2)}\n`);
    return 0;
  }
  const lines = [
    `${session.trace.count} requests, mode ${load.mode}, ${load.depth} in flight at most`,
    ...errorLines(errors),
    `  IOPS   ${recordedIops.toFixed(0)} recorded, ${iops.toFixed(0)} simulated`,
    `  residual ${residual.toFixed(4)} (root mean square of the logarithms of the ratios)`,
  ];
  terminal.out(`${lines.join('\n')}\n`);
  return 0;
}
