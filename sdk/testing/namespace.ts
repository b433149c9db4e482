import type { RawCommand } from '../nvme/raw.js';
import type { Bits } from '../spec/layout.js';
import { Cns, NamespaceList } from '../spec/nvme/identify.js';
import { IdentifyNamespace } from '../spec/nvme/identify-namespace.js';
import { Read, Write } from '../spec/nvme/nvm-command.js';
import { NvmOpcode } from '../spec/nvme/opcodes.js';
import type { TestBuffer } from './buffer.js';
import type { Rig } from './rig.js';
import { Unsupported } from './unsupported.js';

/** Which blocks a command is about. */
export interface BlockRange {
  readonly lba: number;
  /** 1 when left out. */
  readonly count?: number;
}

/** Fixture: a namespace as Identify describes it, and commands on it. */
export class NamespaceFixture {
  readonly rig: Rig;
  readonly nsid: number;
  /** Identify Namespace. */
  readonly words: Uint32Array;

  constructor(rig: Rig, nsid: number, words: Uint32Array) {
    this.rig = rig;
    this.nsid = nsid;
    this.words = words;
  }

  id(field: Bits): number {
    return field.get(this.words, 0);
  }

  get blockCount(): number {
    return IdentifyNamespace.nsze.get(this.words, 0);
  }

  /** Index of the format in use. */
  get format(): number {
    return this.id(IdentifyNamespace.flbasIndex);
  }

  /** Data bytes of a block, without metadata. */
  get blockBytes(): number {
    return 2 ** this.formatField('lbads', this.format);
  }

  get metadataBytes(): number {
    return this.formatField('ms', this.format);
  }

  /** Bytes that one block moves through the data pointer. */
  get transferBytes(): number {
    const isExtended = this.id(IdentifyNamespace.flbasExtended) === 1;
    return this.blockBytes + (isExtended ? this.metadataBytes : 0);
  }

  formatField(name: 'ms' | 'lbads' | 'rp', index: number): number {
    const { lbaf } = IdentifyNamespace;
    return lbaf.item[name].get(this.words, lbaf.at(0, index));
  }

  buffer(blocks: number): TestBuffer {
    return this.rig.buffer(blocks * this.transferBytes);
  }

  read(range: BlockRange, data?: TestBuffer): RawCommand {
    return this.rig
      .command(NvmOpcode.read, this.nsid, data)
      .set(Read.slba, range.lba)
      .set(Read.nlb, range.count ?? 1);
  }

  write(range: BlockRange, data?: TestBuffer): RawCommand {
    return this.rig
      .command(NvmOpcode.write, this.nsid, data)
      .set(Write.slba, range.lba)
      .set(Write.nlb, range.count ?? 1);
  }

  /** Another command whose SLBA and NLB lie where Read has them. */
  blocks(opcode: number, range: BlockRange, data?: TestBuffer): RawCommand {
    return this.rig
      .command(opcode, this.nsid, data)
      .set(Read.slba, range.lba)
      .set(Read.nlb, range.count ?? 1);
  }
}

export async function readNamespace(rig: Rig, nsid?: number): Promise<NamespaceFixture> {
  const active = nsid ?? (await activeNamespaces(rig))[0];
  if (active === undefined) throw new Unsupported('an active namespace');
  return new NamespaceFixture(rig, active, await rig.identify(Cns.namespace, { nsid: active }));
}

/** The active namespace identifiers above `after`, as the controller lists them. */
export async function activeNamespaces(rig: Rig, after = 0): Promise<number[]> {
  return namespaceList(await rig.identify(Cns.activeNamespaces, { nsid: after }));
}

/** Entries of a namespace list up to its closing zero. */
export function namespaceList(words: Uint32Array): number[] {
  const nsids: number[] = [];
  const { entries } = NamespaceList;
  for (let i = 0; i < entries.count; i++) {
    const nsid = entries.item.nsid.get(words, entries.at(0, i));
    if (nsid === 0) break;
    nsids.push(nsid);
  }
  return nsids;
}
