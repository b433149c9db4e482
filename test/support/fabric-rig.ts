import { MonotonicClock } from '../../native/vfio/clock.js';
import { MemoryDevice } from '../../sdk/block/memory.js';
import type { BlockRequest } from '../../sdk/block/request.js';
import { NvmeTcp, type NvmeTcpOptions } from '../../sdk/fabric/initiator.js';
import type { SubsystemOptions } from '../../sdk/fabric/subsystem.js';
import { NvmeTcpTarget, type NvmeTcpTargetOptions } from '../../sdk/fabric/target.js';

export const rigNqn = 'nqn.2026-11.io.ultima:rig';
export const rigClock = new MonotonicClock();
const limitMs = 8000;

/** A memory device that can keep what it was given, and counts it. */
export class HeldDevice extends MemoryDevice {
  isHeld = false;
  submitted = 0;

  constructor(blockCount = 4096, blockBytes = 512) {
    super({ blockBytes, blockCount, clock: rigClock });
  }

  override submit(request: BlockRequest): void {
    super.submit(request);
    this.submitted++;
  }

  override poll(): number {
    return this.isHeld ? 0 : super.poll();
  }
}

/** 16 bytes that name a namespace. */
export function nguidOf(value: number): Uint8Array {
  return new Uint8Array(16).fill(value);
}

export interface FabricRig {
  readonly target: NvmeTcpTarget;
  readonly device: HeldDevice;
  readonly address: string;
  connect(options?: Partial<NvmeTcpOptions>): Promise<NvmeTcp>;
  close(): Promise<void>;
}

/** A target with one namespace, and initiators that are closed with it. */
export async function fabricRig(
  subsystem: Partial<SubsystemOptions> = {},
  options: Partial<NvmeTcpTargetOptions> = {},
): Promise<FabricRig> {
  const device = new HeldDevice();
  const namespaces = [{ nsid: 1, device, nguid: nguidOf(1) }];
  const target = await NvmeTcpTarget.start({
    listen: ['127.0.0.1:0'],
    subsystems: [{ nqn: rigNqn, namespaces, ...subsystem }],
    ...options,
  });
  const address = `127.0.0.1:${target.places[0]!.port}`;
  const hosts: NvmeTcp[] = [];
  return {
    target,
    device,
    address,
    connect: async (more = {}) => {
      const all = { address, nqn: rigNqn, clock: rigClock, reconnectMs: 0, ...more };
      const host = await NvmeTcp.connect(all);
      hosts.push(host);
      return host;
    },
    close: async () => {
      device.isHeld = false;
      for (const host of hosts) await host.close();
      await target.close();
    },
  };
}

/** Wait until something is so. @throws Error after a limit */
export async function until(what: string, isSo: () => boolean): Promise<void> {
  const end = performance.now() + limitMs;
  while (!isSo()) {
    if (performance.now() > end) throw new Error(`it never came to pass: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
