import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openServed } from '../../../native/index.js';
import { loadAddon } from '../../../native/load.js';
import type { PciFunction } from '../../../sdk/device.js';
import { type Suite, skip } from '../../support/suite.js';
import type { Plan } from './fake-plan.js';
import { FakeServer } from './fake-server.js';

export const arenaBytes = 65_536;
export const usual: Plan = { deviations: [] };
export const { kernel, unavailableReason } = loadAddon();

/** A fake server for the tests of a suite, at a path of its own. */
export class FakeRig {
  readonly folder = mkdtempSync(join(tmpdir(), 'ultima-vu-'));
  readonly path = join(this.folder, 'cntrl');
  private readonly suite: Suite;
  private server: FakeServer | null = null;

  constructor(suite: Suite) {
    this.suite = suite;
    suite.before(async () => {
      if (kernel !== null) this.server = await FakeServer.start(this.path);
    });
    suite.after(async () => {
      await this.server?.close();
      rmSync(this.folder, { recursive: true });
    });
  }

  /** A test that needs the server. */
  test(title: string, body: (fake: FakeServer) => Promise<void>): void {
    this.suite(title, async () => {
      if (this.server !== null) return body(this.server);
      skip(`native addon: ${unavailableReason}`);
    });
  }

  /** Open the function of a server with a plan, and close it after `body`. */
  async served(
    fake: FakeServer,
    plan: Plan,
    body: (fn: PciFunction) => Promise<void>,
  ): Promise<void> {
    await fake.plan(plan);
    const fn = await openServed(this.path, { arenaBytes, timeoutMs: 5000 });
    try {
      await body(fn);
    } finally {
      await fn.close();
    }
  }
}

/** Little-endian dwords in hexadecimal. */
export function dwords(...values: readonly number[]): string {
  return Buffer.from(Uint32Array.from(values).buffer).toString('hex');
}

/** A command without descriptors, identifier 0 [vfio-user §Header]. */
export function command(number: number, payload: string): string {
  return dwords(number << 16, 16 + payload.length / 2, 0, 0) + payload;
}
