import { accessSync, constants } from 'node:fs';
import { withDatabaseDisk } from './database-disk.js';
import { withFabric } from './fabric-host.js';
import { type MachineOptions, runMachine } from './machine.js';
import { guestDirectory, whyNotGuest } from './prepare.js';
import { clientOf, withServed } from './served.js';

/**
 * `npm run test:guest -- [group …]`: boot a Debian guest with several NVMe controllers and run the
 * cases of `inside.ts` on them, over the addon and VFIO. The group `served` boots another one whose
 * disk is a simulated card that this process serves over vfio-user, and `pin` the same without
 * message-signalled interrupts; `ULTIMA_QEMU` names the QEMU that can use it. The group `database`
 * boots one whose disk is a volume served over NBD, and `tcp` one with a network and targets around
 * it. Ends with one line of counts.
 */
const directory = guestDirectory;
/** Groups of cases that need another machine, and what its kernel is told. */
const servedGroups: ReadonlyMap<string, string> = new Map([
  ['served', ''],
  ['pin', 'pci=nomsi'],
]);
const databaseGroup = 'database';
const fabricGroup = 'tcp';
const otherGroups = [...servedGroups.keys(), databaseGroup, fabricGroup];
/** What the guest said last, when it fails before its first case. */
const keptLines = 40;
/** Two free cores need a few minutes; a machine that others use as well may need ten. */
const limitMs = 1_200_000;

const obstacle = whyNotGuest(directory);
if (obstacle !== null) {
  console.log(`SKIP guest: ${obstacle}`);
  const isFailure = process.env.CI === 'true';
  console.log(isFailure ? '0 passed, 1 failed' : '0 passed, 0 failed, 1 skipped');
  process.exitCode = isFailure ? 1 : 0;
} else {
  process.exitCode = await run(process.argv.slice(2));
}

interface Counts {
  PASS: number;
  FAIL: number;
  SKIP: number;
}

async function run(groups: readonly string[]): Promise<number> {
  accessSync(directory, constants.W_OK);
  const counts: Counts = { PASS: 0, FAIL: 0, SKIP: 0 };
  const isWanted = (group: string): boolean => groups.length === 0 || groups.includes(group);
  const ordinary = groups.filter((group) => !otherGroups.includes(group));
  if (groups.length === 0 || ordinary.length > 0) await boot(counts, ordinary);
  if (isWanted(databaseGroup)) await bootDatabase(counts);
  if (isWanted(fabricGroup)) {
    await withFabric((fabric) => boot(counts, [fabricGroup], { fabric }));
  }
  for (const group of servedGroups.keys()) if (isWanted(group)) await bootServed(counts, group);
  const skipped = counts.SKIP > 0 ? `, ${counts.SKIP} skipped` : '';
  console.log(`${counts.PASS} passed, ${counts.FAIL} failed${skipped}`);
  return counts.FAIL === 0 ? 0 : 1;
}

/** The same guest on a card that this process serves, where there is a QEMU for it. */
async function bootServed(counts: Counts, group: string): Promise<void> {
  const client = clientOf(process.env.ULTIMA_QEMU);
  if (typeof client === 'string') {
    console.log(`SKIP ${group}: ${client}`);
    counts.SKIP++;
    return;
  }
  const kernelWords = servedGroups.get(group) ?? '';
  await withServed(client.qemu, kernelWords, (served) => boot(counts, [group], { served }));
}

/** The same guest on a volume in a pool on a card, behind a server that is killed under it. */
async function bootDatabase(counts: Counts): Promise<void> {
  const fault = await withDatabaseDisk((disk) => boot(counts, [databaseGroup], { disk }));
  const title = 'the pool under the database is sound after its servers were killed';
  if (fault === null) counts.PASS++;
  else counts.FAIL++;
  console.log(fault === null ? `PASS database: ${title}` : `FAIL database: ${title}\n${fault}`);
}

async function boot(
  counts: Counts,
  groups: readonly string[],
  machine: Pick<MachineOptions, 'served' | 'disk' | 'fabric'> = {},
  isAgain = false,
): Promise<void> {
  const kept = { ...counts };
  let hasStarted = false;
  const before: string[] = [];
  const passed = counts.PASS + counts.FAIL;
  const failed = counts.FAIL;
  const startMs = performance.now();
  const { code, hasCrashed } = await runMachine({
    directory,
    what: groups,
    limitMs,
    ...machine,
    onLine: (raw) => {
      // The firmware leaves its last message without an end of line.
      const line = raw.replace(/^.*?(?=(?:PASS|FAIL|SKIP) \w+: )/, '');
      const word = /^(PASS|FAIL|SKIP) /.exec(line)?.[1];
      // Indented lines are of a case that is not over yet.
      hasStarted ||= word !== undefined || /^ {5}\S/.test(line);
      if (word === 'PASS' || word === 'FAIL' || word === 'SKIP') counts[word]++;
      // What QEMU says of each copy that it fails, and of each access to a card that is gone.
      const isNoise = /^qemu-system-x86_64: (?:aio failed|vfio_)/.test(line);
      if (isNoise) return;
      if (hasStarted) console.log(line);
      else before.push(line);
    },
  });
  if (code < 0 && hasCrashed && !isAgain && Object.keys(machine).length === 0) {
    // Its own controllers, rarely, after a reset under I/O. No guest may bring that about.
    console.log('QEMU itself crashed (SIGSEGV), so nothing is known: all of this guest once more');
    Object.assign(counts, kept);
    return boot(counts, groups, machine, true);
  }
  if (code < 0) {
    for (const line of before.slice(-keptLines)) console.log(line);
    const seconds = (performance.now() - startMs) / 1000;
    console.log(`the guest ended without a result after ${seconds.toFixed(0)} s`);
    console.log(`(it is stopped after ${limitMs / 1000} s)`);
    counts.FAIL++;
  } else if (code !== 0 && counts.FAIL === failed) {
    for (const line of before.slice(-keptLines)) console.log(line);
    console.log(`the guest ended with code ${code}`);
    counts.FAIL++;
  } else if (counts.PASS + counts.FAIL === passed) {
    console.log('the guest ran no case');
    counts.FAIL++;
  }
}
