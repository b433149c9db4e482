import { parseArgs } from 'node:util';
import type { Bench, Figures } from './figures.js';

const usage = 'usage: npm run bench -- NAME [--json] [--guest] [--report FILE] [--help]';

/** `npm run bench -- NAME [--json] [--guest]`. Each benchmark is loaded when it is asked for. */
const benches: Readonly<Record<string, () => Promise<{ readonly bench: Bench }>>> = {
  checkpoint: () => import('./checkpoint.js'),
  'driver-overhead': () => import('./driver-overhead.js'),
  mirror: () => import('./mirror.js'),
  qos: () => import('./qos.js'),
  'qos-wall': () => import('./qos-wall.js'),
  replay: () => import('./replay.js'),
  'event-speed': () => import('./event-speed.js'),
  fidelity: () => import('./fidelity.js'),
  'guest-compare': () => import('./guest-compare.js'),
  'mqsim-closed-form': () => import('./mqsim-closed-form.js'),
  nbd: () => import('./nbd.js'),
  'native-overhead': () => import('./native-overhead.js'),
  'nvme-tcp': () => import('./nvme-tcp.js'),
  waf: () => import('./waf.js'),
  'vfio-user': () => import('./vfio-user.js'),
  'sim-speed': () => import('./sim-speed.js'),
  'ultima-g2': () => import('./ultima-g2.js'),
  volume: () => import('./volume.js'),
};

const known = `benchmarks: ${Object.keys(benches).join(', ')}`;

process.exitCode = await main();

async function main(): Promise<number> {
  const words = parse(process.argv.slice(2));
  if (words === null) {
    console.error(`${usage}\n${known}`);
    return 2;
  }
  const { name, values } = words;
  if (values.help === true) {
    await help();
    return 0;
  }
  const load = benches[name];
  if (load === undefined) {
    console.error(`${name === '' ? 'no benchmark named' : `no benchmark '${name}'`}\n${known}`);
    return 2;
  }
  const { bench } = await load();
  if (values.report !== undefined) {
    if (bench.report === undefined) {
      console.error(`${name} has no report; run it without --report`);
      return 2;
    }
    await bench.report(values.report);
    console.log(values.report);
    return 0;
  }
  if (values.guest && bench.runInGuest === undefined) {
    console.error(`${name} does not run in the guest; run it without --guest`);
    return 2;
  }
  const result = await (values.guest ? bench.runInGuest!() : bench.run());
  if (values.json) console.log(JSON.stringify({ name, ...result }));
  else print(name, bench, result);
  return 0;
}

function parse(args: string[]) {
  try {
    const { values, positionals } = parseArgs({
      args,
      options: {
        json: { type: 'boolean', default: false },
        guest: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h' },
        report: { type: 'string' },
      },
      allowPositionals: true,
    });
    const [name = '', ...more] = positionals;
    return more.length > 0 ? null : { name, values };
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return null;
  }
}

async function help(): Promise<void> {
  const claims = Object.entries(benches).map(async ([name, load]) => {
    return `${name}\n  ${(await load()).bench.claim}`;
  });
  const options = [
    '  --json         figures and conditions as one line of JSON',
    "  --guest        the same in the guest, on QEMU's controller (qos-wall)",
    '  --report FILE  plots as a page of HTML (qos)',
  ];
  console.log([usage, '', ...options, '', ...(await Promise.all(claims))].join('\n'));
}

function print(name: string, bench: Bench, { conditions, figures }: Figures): void {
  console.log(`${name}: ${bench.claim}\n`);
  for (const [key, value] of Object.entries(figures)) {
    console.log(`  ${key.padEnd(32)} ${value.toLocaleString('en-US').padStart(16)}`);
  }
  console.log('');
  for (const [key, value] of Object.entries(conditions)) console.log(`  ${key}: ${value}`);
}
