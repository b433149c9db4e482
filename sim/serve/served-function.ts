import { doorbellBase } from '../../sdk/spec/nvme/registers.js';
import { Header } from '../../sdk/spec/pcie/header.js';
import { Msix } from '../../sdk/spec/pcie/msix.js';
import type { SimCard } from '../card.js';
import { PolledDoorbells } from '../nvme/polled-doorbells.js';
import { strideBytesOf } from '../nvme/shadow-doorbells.js';
import { header, msix } from '../pcie/capabilities.js';
import type { SimFunction } from '../pcie/function.js';
import type { Migration } from './migration.js';
import type { OwnMemory } from './peer.js';
import type { PeerInterrupts } from './peer-interrupts.js';
import { dmaPageBytes, type PeerMemory } from './peer-memory.js';
import { Regions } from './regions.js';

/** Part of a region that a peer may map: the same offset in the file and in the region. */
export interface MappableArea {
  readonly region: number;
  readonly offset: number;
  readonly length: number;
  readonly memory: OwnMemory;
}

/**
 * The physical function of a card as its peer sees it: regions, interrupts, memory, and doorbells
 * in memory that both share.
 */
export class ServedFunction {
  readonly regions: Regions;
  readonly doorbells: PolledDoorbells;
  readonly area: MappableArea;
  readonly memory: PeerMemory;
  readonly interrupts: PeerInterrupts;
  readonly migration: Migration;
  private card: SimCard;

  constructor(
    card: SimCard,
    parts: {
      readonly memory: PeerMemory;
      readonly interrupts: PeerInterrupts;
      readonly makeMemory: (bytes: number) => OwnMemory;
      readonly migration: Migration;
    },
  ) {
    const doorbells = doorbellBytesOf(card);
    this.card = card;
    this.migration = parts.migration;
    this.memory = parts.memory;
    this.interrupts = parts.interrupts;
    this.interrupts.isPinDisabled = () =>
      this.fn.registers.get(header, Header.interruptDisable) === 1;
    this.interrupts.isPinAsserted = () => {
      // A head that the host has moved already does not count.
      this.doorbells.poll();
      return this.card.controller.pinLevel();
    };
    this.regions = new Regions(this.fn);
    this.area = {
      region: 0,
      offset: doorbellBase,
      length: Math.ceil(doorbells / dmaPageBytes) * dmaPageBytes,
      memory: parts.makeMemory(this.regions.lengthOf(0)),
    };
    const words = new Uint32Array(this.area.memory.buffer, doorbellBase, doorbells / 4);
    const { doorbellStride } = card.profile.controller;
    this.doorbells = new PolledDoorbells(words, strideBytesOf(doorbellStride), (offset, value) =>
      this.fn.writeDword(0, offset, value),
    );
    card.controller.watchQueues(this.doorbells);
    this.regions.onWrite = (bar, offset, value) => {
      const isDoorbell = bar === 0 && offset >= doorbellBase && offset < doorbellBase + doorbells;
      if (isDoorbell) this.doorbells.wrote(offset, value);
    };
  }

  get fn(): SimFunction {
    return this.card.function;
  }

  /** Another card of the same kind takes the place of the one before, which nobody uses now. */
  become(card: SimCard): void {
    this.card.controller.watchQueues(null);
    this.card = card;
    this.regions.fn = card.function;
    this.doorbells.cleared();
    card.controller.watchQueues(this.doorbells);
    card.function.claimHost();
    this.followInterrupts();
  }

  /** As VFIO resets a device: what the peer has programmed into configuration space stays. */
  reset(): void {
    this.fn.resetAtOnce();
  }

  /** MSI-X is on while it has descriptors, as with VFIO. */
  followInterrupts(): void {
    const { registers } = this.fn;
    const dword = msix.offset + Msix.enable.dword * 4;
    const isOn = this.interrupts.isMsixConnected ? 1 : 0;
    const control = Msix.enable.put(registers.words[dword / 4]!, isOn);
    registers.write(dword, control, 0xffff_ffff);
  }

  /** Nothing of a peer is used any more; the device keeps its state. */
  release(): void {
    this.migration.reset();
    this.memory.messages = null;
    this.memory.dirty.stop();
    this.memory.unmapAll();
    this.interrupts.disconnectAll();
  }
}

function doorbellBytesOf(card: SimCard): number {
  const { queuePairs, doorbellStride } = card.profile.controller;
  return 2 * (queuePairs + 1) * strideBytesOf(doorbellStride);
}
