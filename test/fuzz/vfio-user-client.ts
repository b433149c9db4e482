import { readdirSync } from 'node:fs';
import { loadAddon } from '../../native/load.js';
import { UnixSocket } from '../../native/socket.js';
import { MonotonicClock } from '../../native/vfio/clock.js';
import { VfioDmaSpace } from '../../native/vfio/dma-space.js';
import { Link } from '../../native/vfio-user/link.js';
import { RemoteBar } from '../../native/vfio-user/remote-window.js';
import { SharedArenas } from '../../native/vfio-user/shared-arenas.js';
import { UltimaError } from '../../sdk/errors.js';
import type { Prng } from '../../sim/prng.js';
import { campaign, type Tally } from '../support/campaign.js';

/** One message of the server, as it goes onto the wire. */
interface Step {
  /** Hexadecimal, changes included. */
  readonly hex: string;
  /** Descriptors of memory of so many bytes. */
  readonly memories: readonly number[];
  readonly isAsItShould: boolean;
}

const { kernel } = loadAddon();
/** A client that waits for what never comes is given up after this. */
const timeoutMs = 5;
const arenaBytes = 65_536;
const firstAddress = 0x1_0000;
const registerValue = 0x0f01_07ff;

export const campaignOfClient = campaign<Step>({
  claim:
    'the vfio-user client under servers that lie: what goes wrong is an error by name, no ' +
    'descriptor leaks, nothing outside mapped memory changes, and the truth is understood',
  plan,
  run,
});

function words(...values: readonly number[]): string {
  return Buffer.from(Uint32Array.from(values).buffer).toString('hex');
}

function message(id: number, command: number, payload: string, flags = 1): string {
  return words(command * 0x1_0000 + id, 16 + payload.length / 2, flags, 0) + payload;
}

const json = '{"capabilities":{"max_msg_fds":8,"max_dma_maps":16}}\0';

/** The replies of a server that tells the truth, in the order of what `drive` asks. */
function truth(): { hex: string; memories: number[] }[] {
  const sparse = words(0x0001_0001, 0, 1, 0, 0x1000, 0, 0x1000, 0);
  const payloads: [command: number, payload: string, memories: number[]][] = [
    [1, `00000100${Buffer.from(json).toString('hex')}`, []],
    [4, words(16, 3, 9, 5), []],
    [5, words(32, 3, 7, 0, 256, 0, 0, 0), []],
    [9, words(0, 0, 7, 4, 0x0010_1b36), []],
    [2, '', []],
    [7, words(16, 1, 2, 4), []],
    [8, '', []],
    [5, words(64, 15, 0, 32, 0x2000, 0, 0, 0) + sparse, [0x2000]],
    [9, words(0, 0, 0, 4, registerValue), []],
    [10, words(0x14, 0, 0, 4), []],
    [3, words(24, 0, firstAddress, 0, arenaBytes, 0), []],
  ];
  return payloads.map(([command, payload, memories], i) => ({
    hex: message(i + 1, command, payload),
    memories,
  }));
}

function plan(prng: Prng): Step[] {
  const steps: Step[] = [];
  const changes = prng.chance(0.1) ? 0 : 1 + prng.below(3);
  const changed = new Set(Array.from({ length: changes }, () => prng.below(11)));
  for (const [i, { hex, memories }] of truth().entries()) {
    if (!changed.has(i)) {
      steps.push({ hex, memories, isAsItShould: true });
      continue;
    }
    if (prng.chance(0.4)) {
      steps.push({ hex: command(prng), memories: stray(prng), isAsItShould: false });
    }
    if (prng.chance(0.7)) steps.push({ ...change(prng, hex, memories), isAsItShould: false });
    else steps.push({ hex, memories, isAsItShould: true });
  }
  return steps;
}

function stray(prng: Prng): number[] {
  return prng.chance(0.8) ? [] : Array.from({ length: 1 + prng.below(12) }, () => 4096);
}

const interesting = [0, 1, 4, 15, 16, 32, 4096, 0xffff, 0x1_0000, 0x7fff_ffff, 0xffff_ffff];

function number(prng: Prng): number {
  const kind = prng.below(3);
  if (kind === 0) return interesting[prng.below(interesting.length)]!;
  return kind === 1 ? prng.below(0x1_0000) : prng.word();
}

/** Some dwords of a reply are others, or it ends early, or its descriptors are others. */
function change(prng: Prng, hex: string, memories: number[]): { hex: string; memories: number[] } {
  const bytes = Buffer.from(hex, 'hex');
  for (let i = 1 + prng.below(3); i > 0; i--) {
    bytes.writeUInt32LE(number(prng), 4 * prng.below(bytes.length >> 2));
  }
  if (prng.chance(0.2)) return { hex: bytes.toString('hex').slice(0, 8 * prng.below(8)), memories };
  if (prng.chance(0.3)) return { hex, memories: prng.chance(0.5) ? [] : stray(prng) };
  return { hex: bytes.toString('hex'), memories };
}

/** What only a server may ask: memory of the client, mapped and not. */
function command(prng: Prng): string {
  const which = prng.chance(0.9) ? 11 + prng.below(2) : prng.below(20);
  const address = prng.chance(0.7) ? firstAddress + 4 * prng.below(arenaBytes) : number(prng);
  const count = prng.chance(0.7) ? prng.below(64) : number(prng);
  const data = which === 12 ? '5a'.repeat(prng.chance(0.8) ? Math.min(count, 4096) : 3) : '';
  const high = prng.chance(0.9) ? 0 : number(prng);
  return message(prng.below(0x1_0000), which, words(address, high, count, 0) + data, 0);
}

async function run(steps: readonly Step[], _seed: number, tally: Tally): Promise<string | null> {
  if (kernel === null) {
    tally['plans that need the native addon'] =
      (tally['plans that need the native addon'] ?? 0) + 1;
    return null;
  }
  const before = openDescriptors();
  const [ours, theirs] = UnixSocket.pair(kernel, 8);
  for (const { hex, memories } of steps) {
    if (hex === '') continue;
    const fds = Int32Array.from(memories, (bytes) => kernel.memfd('fuzz', bytes));
    theirs.send(Buffer.from(hex, 'hex'), fds);
    for (const fd of fds) kernel.close(fd);
  }
  // The end of the conversation, for whoever still waits: a message of no kind.
  theirs.send(Buffer.from(words(0, 16, 7, 0), 'hex'));
  const isTrue = steps.length === 11 && steps.every(({ isAsItShould }) => isAsItShould);
  const outcome = drive(ours);
  theirs.close();
  // Watchers let go of their descriptors in a turn of the event loop.
  await new Promise((resolve) => setImmediate(resolve));
  tally.messages = (tally.messages ?? 0) + steps.length;
  const key = outcome === '' ? 'understood' : 'refused';
  tally[key] = (tally[key] ?? 0) + 1;
  if (isTrue && outcome !== '') return `the truth was refused: ${outcome}`;
  const after = openDescriptors();
  return after === before ? null : `${after - before} descriptors are left open`;
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

/** @returns how it ended, '' when all was as the truth has it; throws what is no named error */
function drive(socket: UnixSocket): string {
  if (kernel === null) return 'no addon';
  const arenas = new SharedArenas(kernel, 'fuzz', true);
  const clock = new MonotonicClock();
  let bar: RemoteBar | null = null;
  let space: VfioDmaSpace | null = null;
  let link: Link | null = null;
  const onDeath = (): void => arenas.takeBack();
  const fault: string[] = [];
  try {
    link = new Link({
      socket,
      path: 'fuzz',
      clock,
      timeoutMs,
      takesFds: true,
      commands: arenas,
      onDeath,
    });
    const { channel, device } = link;
    arenas.connect(channel, link.agreement);
    space = new VfioDmaSpace(arenas.memory, arenas, { arenaBytes });
    const { count } = device.irq(2);
    if (count > 2048) fault.push(`${count} vectors`);
    if (count > 0 && link.agreement.messageFds > 0) device.setEventfds(2, []);
    const reach = { device: () => device, hasMappedRegisters: true };
    bar = new RemoteBar(kernel, reach, device.region(0));
    const value = bar.read32(0);
    if (value !== registerValue) fault.push(`the register is ${value}`);
    bar.write32(0x14, 1);
    bar.write32(0x1000, 2);
    if (bar.read32(0x1000) !== 2) fault.push('the doorbell is not mapped');
  } catch (error) {
    if (!(error instanceof UltimaError)) throw error;
    fault.push(error.message);
  }
  try {
    space?.close();
  } catch (error) {
    if (!(error instanceof UltimaError)) throw error;
    fault.push(error.message);
  }
  bar?.detach();
  if (link !== null && !link.channel.isAlive) fault.push(link.channel.reason);
  link?.channel.die('the end');
  return fault.join('; ');
}
