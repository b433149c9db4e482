import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MonotonicClock } from '../../native/vfio/clock.js';
import { discardBlocks, flushBlocks, readBlocks, writeBlocks } from '../../sdk/block/promised.js';
import { NvmeTcp } from '../../sdk/fabric/initiator.js';
import { AnaState } from '../../sdk/spec/nvme/logs.js';
import { TestPrng } from '../../sdk/testing/prng.js';
import type { FabricMachine } from './machine.js';

/** The kernel's target in the guest serves this. */
export const guestNqn = 'nqn.2026-11.io.ultima:kernel';
export const guestBytes = 16 * 1024 * 1024;
/** The last block of it reads so when the host's initiator has found everything right. */
export const doneMark = 0x55;
const fileBytes = 256 * 1024 * 1024;
const script = fileURLToPath(new URL('./fabric-target.js', import.meta.url));
const stepCount = 200;

/** Two targets, each a process, with the same file, while a machine runs. */
export async function withFabric(run: (fabric: FabricMachine) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'ultima-fabric-'));
  const path = join(folder, 'disk');
  writeFileSync(path, '');
  truncateSync(path, fileBytes);
  const targets: ChildProcess[] = [];
  try {
    const ports = [await freePort(), await freePort(), await freePort()];
    const [first = 0, second = 0, forwardPort = 0] = ports;
    targets.push(await revive(path, first));
    targets.push(await start(path, second, { firstId: 101, state: AnaState.nonOptimized }));
    const order = (words: string): void => {
      const [who, ...rest] = words.split(' ');
      if (who === 'initiate') void initiate(forwardPort);
      else if (who === 'revive') void revive(path, first).then((target) => targets.push(target));
      else if (rest[0] === 'kill') targets[Number(who)]?.kill('SIGKILL');
      else targets[Number(who)]?.stdin?.write(`${rest.join(' ')}\n`);
    };
    await run({ ports: [first, second], forwardPort, order });
  } finally {
    for (const target of targets) target.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  }
}

function revive(path: string, port: number): Promise<ChildProcess> {
  return start(path, port, { firstId: 1, state: AnaState.optimized });
}

async function start(
  path: string,
  port: number,
  { firstId, state }: { readonly firstId: number; readonly state: number },
): Promise<ChildProcess> {
  const words = [script, path, `${port}`, `${firstId}`, `${state}`];
  const child = spawn(process.execPath, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`the target ended with ${code}`)));
  });
  return child;
}

/** Our initiator at the kernel's target: random work against a copy of what should be there. */
async function initiate(port: number): Promise<void> {
  try {
    const host = await NvmeTcp.connect({
      address: `127.0.0.1:${port}`,
      nqn: guestNqn,
      clock: new MonotonicClock(),
      queues: 2,
      headerDigest: true,
      dataDigest: true,
      connectMs: 30_000,
      reconnectMs: 0,
      onEvent: (event) => console.log('our initiator:', event),
    });
    const device = host.namespace(1);
    const { blockBytes, blockCount } = device;
    if (blockBytes * blockCount !== guestBytes) throw new Error(`${blockCount} x ${blockBytes}`);
    const model = new Uint8Array(guestBytes);
    const random = new TestPrng(8);
    for (let i = 0; i < stepCount; i++) {
      const count = 1 + random.below(i % 4 === 0 ? 250 : 16);
      const lba = random.below(blockCount - 1 - count);
      const place = model.subarray(lba * blockBytes, (lba + count) * blockBytes);
      if (i % 3 === 0) {
        const found = new Uint8Array(place.length);
        await readBlocks(device, lba, found);
        if (Buffer.compare(found, place) !== 0) throw new Error(`blocks ${lba} + ${count} differ`);
      } else {
        for (let at = 0; at < place.length; at++) place[at] = random.below(256);
        await writeBlocks(device, lba, place, i % 5 === 0);
      }
    }
    await flushBlocks(device);
    if (device.limits.canDiscard) await discardBlocks(device, { lba: 0, blockCount: 8 });
    const mark = new Uint8Array(blockBytes).fill(doneMark);
    await writeBlocks(device, blockCount - 1, mark, true);
    await host.close();
  } catch (error) {
    console.log(`our initiator at the kernel's target: ${error}`);
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
