import type { Clock, Interrupts } from '../../sdk/device.js';
import { Msix, MsixEntry, messageWindow } from '../../sdk/spec/pcie/msix.js';
import type { World } from '../world.js';
import { msix } from './capabilities.js';
import type { ConfigRegisters } from './config-space.js';
import type { HostMemory } from './host-memory.js';
import type { MsixTable } from './msix.js';

const entryBytes = MsixEntry.layout.bytes;

/**
 * The platform's half of interrupts: it programs the MSI-X table as an operating system does,
 * receives the messages and remembers which vectors fired.
 */
export class HostInterrupts implements Interrupts {
  readonly vectorCount: number;
  private readonly world: World;
  private readonly clock: Clock;
  private readonly config: ConfigRegisters;
  private readonly table: () => MsixTable;
  private readonly memory: HostMemory;
  private readonly fired: Uint8Array;
  /** How often each fired. */
  private readonly fireCounts: Float64Array;
  private readonly arrive: number;
  private readonly delayNs: number;

  constructor(options: {
    readonly world: World;
    readonly clock: Clock;
    readonly config: ConfigRegisters;
    readonly table: () => MsixTable;
    readonly memory: HostMemory;
    readonly vectorCount: number;
    /** Message sent until the handler runs. */
    readonly delayNs: number;
  }) {
    this.world = options.world;
    this.clock = options.clock;
    this.config = options.config;
    this.table = options.table;
    this.memory = options.memory;
    this.vectorCount = options.vectorCount;
    this.delayNs = options.delayNs;
    this.fired = new Uint8Array(options.vectorCount);
    this.fireCounts = new Float64Array(options.vectorCount);
    this.arrive = this.world.register((vector) => this.fire(vector));
  }

  enable(count: number): void {
    if (!Number.isInteger(count) || count < 0 || count > this.vectorCount) {
      throw new RangeError(`${count} vectors: 0..${this.vectorCount}`);
    }
    this.fired.fill(0);
    for (let vector = 0; vector < count; vector++) {
      this.program(vector, MsixEntry.addressLow.dword, messageWindow.first);
      this.program(vector, MsixEntry.addressHigh.dword, 0);
      this.program(vector, MsixEntry.data.dword, vector);
      this.program(vector, MsixEntry.isMasked.dword, 0);
    }
    for (let vector = count; vector < this.vectorCount; vector++) this.mask(vector);
    const dword = msix.offset + Msix.enable.dword * 4;
    const control = Msix.enable.put(this.config.words[dword / 4]!, count > 0 ? 1 : 0);
    this.config.write(dword, control, 0xffff_ffff);
  }

  take(vector: number): boolean {
    if (this.fired[vector] !== 1) {
      this.check(vector);
      return false;
    }
    this.fired[vector] = 0;
    return true;
  }

  mask(vector: number): void {
    this.check(vector);
    this.program(vector, MsixEntry.isMasked.dword, 1);
  }

  unmask(vector: number): void {
    this.check(vector);
    this.program(vector, MsixEntry.isMasked.dword, 0);
  }

  async wait(vector: number, untilNs: number): Promise<boolean> {
    this.check(vector);
    const fireCount = this.fireCounts[vector];
    // Queues may share a vector: whoever waits when it fires is told, whoever of them takes it.
    while (!this.take(vector) && this.fireCounts[vector] === fireCount) {
      if (this.clock.nowNs() >= untilNs) return false;
      await this.clock.turn(untilNs);
    }
    return true;
  }

  /** A message of the device: into the interrupt window, or a plain write to memory. */
  receive(address: number, data: number): void {
    const isInterrupt = address >= messageWindow.first && address <= messageWindow.last;
    if (isInterrupt) {
      if (data < this.vectorCount) this.world.schedule(this.delayNs, this.arrive, data);
    } else if (this.memory.writeWord(address, data)) {
      this.world.hostVisible();
    }
  }

  private fire(vector: number): void {
    this.fired[vector] = 1;
    this.fireCounts[vector]!++;
    this.world.hostVisible();
  }

  private program(vector: number, dword: number, value: number): void {
    const table = this.table();
    table.write(table.place.bar, table.place.tableOffset + vector * entryBytes + dword * 4, value);
  }

  private check(vector: number): void {
    if (Number.isInteger(vector) && vector >= 0 && vector < this.vectorCount) return;
    throw new RangeError(`vector ${vector}: 0..${this.vectorCount - 1}`);
  }
}
