import { parseArgs } from 'node:util';
import type { Bench, Figures } from './figures.js';

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

process.exitCode = await main();

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      guest: { type: 'boolean', default: false },
      report: { type: 'string' },
    },
    allowPositionals: true,
  });
  const [name, ...more] = positionals;
  const load = name === undefined ? undefined : benches[name];
  if (name === undefined || load === undefined || more.length > 0) {
    const known = Object.keys(benches).join(', ');
    console.error(
      `usage: npm run bench -- NAME [--json] [--guest] [--report FILE], with NAME one of: ${known}`,
    );
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

function print(name: string, bench: Bench, { conditions, figures }: Figures): void {
  console.log(`${name}: ${bench.claim}\n`);
  for (const [key, value] of Object.entries(figures)) {
    console.log(`  ${key.padEnd(32)} ${value.toLocaleString('en-US').padStart(16)}`);
  }
  console.log('');
  for (const [key, value] of Object.entries(conditions)) console.log(`  ${key}: ${value}`);
}
