import { BlockOp, BlockStatus } from '../../sdk/block/request.js';
import type { DmaRegion } from '../../sdk/device.js';
import { cellBytes } from '../../sdk/volume/format.js';
import { leastCacheBytes } from '../../sdk/volume/pager.js';
import { Pool } from '../../sdk/volume/pool.js';
import type { Volume } from '../../sdk/volume/volume.js';
import { Prng } from '../../sim/prng.js';
import { campaign, type Tally } from '../support/campaign.js';
import { Undo } from '../support/crash-cuts.js';
import { CrashDevice } from '../support/crash-device.js';
import { type FlipSubject, judgeWrong } from '../support/flip-judge.js';
import { type MetadataPage, pagesOf, usersOf } from '../support/pool-pages.js';
import { sectorBytes, versionOf } from '../support/volume-model.js';
import { namedDevices, runRequest, writeSectors } from '../support/volume-rig.js';

type DamageKind = 'bit' | 'bits' | 'bitsOfPages' | 'zeroes' | 'otherPage' | 'tornPage';

/** What happens to the metadata; numbers are taken modulo what there is to choose from. */
interface DamageStep {
  readonly kind: DamageKind;
  readonly pages: readonly number[];
  readonly bits: readonly number[];
  /** 1 or 2, for what happens to whole pages. */
  readonly pageCount: number;
  /** 16 KiB of memory for all maps, 1 MiB, or all that they need. */
  readonly cache: number;
  /** Opened as it was; damaged while it is open, with most nodes not in memory. */
  readonly isLater: boolean;
  /** Repaired, checked and opened again. */
  readonly isRepaired: boolean;
}

const kinds: readonly DamageKind[] = [
  ...(['bit', 'bit', 'bit', 'bits', 'bitsOfPages', 'zeroes', 'otherPage', 'tornPage'] as const),
];
const caches = [{ mapCacheBytes: leastCacheBytes }, { mapCacheBytes: 2 ** 20 }, {}] as const;
const deviceBytes = 64 * 1024 * 1024;
const volumeBytes = 64 * 2 ** 30;
const sectorsPerCell = cellBytes / sectorBytes;
/** What one leaf maps. */
const leafSectors = (512 * 65_536) / sectorBytes;

export const campaignOfBigFlips = campaign<DamageStep>({
  claim:
    'a wrong bit in a pool of thousands of nodes is named and mended; a lost page costs what ' +
    'needs it, by name, and nothing else, and the repaired pool passes the check',
  plan: (prng) =>
    Array.from({ length: 8 }, () => ({
      kind: kinds[prng.below(kinds.length)]!,
      pages: Array.from({ length: 8 }, () => prng.below(2 ** 30)),
      bits: Array.from({ length: 8 }, () => prng.below(2 ** 30)),
      pageCount: 1 + prng.below(2),
      cache: prng.below(caches.length),
      isLater: prng.chance(0.3),
      isRepaired: prng.chance(0.2),
    })),
  run: async (steps, seed, tally) => {
    prepared ??= prepare();
    return (await prepared).run(steps, seed, tally);
  },
});

let prepared: Promise<BigFlips> | null = null;

/** First sector of each written cell → the write that it comes from. */
type Content = ReadonlyMap<number, number>;

async function prepare(): Promise<BigFlips> {
  const devices = Array.from(
    { length: 3 },
    () => new CrashDevice({ blockBytes: 512, bytes: deviceBytes }),
  );
  const chance = new Prng(2, 'big pool');
  const random = (bytes: Uint8Array): void => chance.fill(bytes);
  const pool = await Pool.create(devices, { random });
  const contents = new Map<string, Map<number, number>>();
  let version = 0;
  const write = async (name: string, first: number): Promise<void> => {
    await writeSectors(pool.volume(name), first, sectorsPerCell, ++version);
    contents.get(name)!.set(first, version);
  };
  for (let i = 0; i < 6; i++) {
    const name = `v${i}`;
    await pool.createVolume({ name, bytes: volumeBytes, blockBytes: 512, hasChecks: i % 3 === 0 });
    contents.set(name, new Map());
    const leaves = volumeBytes / sectorBytes / leafSectors;
    for (let j = 0; j < 200; j++) {
      const cell = chance.below(leafSectors / sectorsPerCell);
      await write(name, chance.below(leaves) * leafSectors + cell * sectorsPerCell);
    }
    await pool.takeSnapshot([{ volume: name, name: 's' }]);
    const written = contents.get(name)!;
    contents.set(`${name}@s`, new Map(written));
    // Some cells again, and some beside them: their extents lie in two units from now on.
    const cells = [...written.keys()];
    for (let j = 0; j < 60; j++) {
      const cell = cells[chance.below(cells.length)]! / sectorsPerCell;
      await write(name, (chance.chance(0.5) ? cell : cell ^ 1) * sectorsPerCell);
    }
  }
  await pool.close();
  const { core } = await Pool.open(devices, { isReadOnly: true });
  return new BigFlips(devices, { pages: pagesOf(core, devices), users: usersOf(core), contents });
}

interface Known {
  readonly pages: readonly MetadataPage[];
  readonly users: ReadonlyMap<number, readonly string[]>;
  readonly contents: ReadonlyMap<string, Content>;
}

class BigFlips {
  private readonly devices: readonly CrashDevice[];
  private readonly pages: readonly MetadataPage[];
  private readonly kindsOfPages: readonly string[];
  private readonly contents: ReadonlyMap<string, Content>;
  private readonly subject: FlipSubject;
  private readonly undos: readonly Undo[];
  private readonly buffer: DmaRegion;
  private chance = new Prng(0, 'look');

  constructor(devices: readonly CrashDevice[], { pages, users, contents }: Known) {
    this.devices = devices;
    this.pages = pages;
    this.kindsOfPages = [...new Set(pages.map(({ kind }) => kind))];
    this.contents = contents;
    this.undos = devices.map(({ image }) => new Undo(image));
    this.buffer = devices[0]!.memory.allocate(2 * cellBytes);
    this.subject = {
      ...{ devices, pages, users },
      names: [...contents.keys()],
      contentFault: (name, volume) => this.contentFault(name, volume, 30),
    };
  }

  async run(steps: readonly DamageStep[], seed: number, tally: Tally): Promise<string | null> {
    this.chance = new Prng(seed, 'look');
    tally['pages of metadata'] = this.pages.length;
    for (const step of steps) {
      for (const [i, device] of this.devices.entries()) {
        device.onChange = (at, length) => this.undos[i]!.save(at, length);
      }
      const fault = await this.step(step, tally);
      for (const [i, device] of this.devices.entries()) {
        device.onChange = null;
        device.forget();
        this.undos[i]!.takeBack();
      }
      tally[step.kind] = (tally[step.kind] ?? 0) + 1;
      if (fault !== null) return `${step.kind}: ${fault}`;
    }
    return null;
  }

  private async step(step: DamageStep, tally: Tally): Promise<string | null> {
    const memory = caches[step.cache]!;
    if (step.isLater) return this.later(step, tally);
    const wrong = this.damage(step);
    const fault = await judgeWrong(this.subject, wrong, tally, memory);
    const isRepairable = [...wrong].every(([{ node }, bits]) => bits === 1 || node !== 0);
    if (fault !== null || !step.isRepaired || !isRepairable) return fault;
    tally.repaired = (tally.repaired ?? 0) + 1;
    return this.repair(memory);
  }

  /** What it finds it mends; what is lost stays named, and the rest is as it was. */
  private async repair(memory: { readonly mapCacheBytes?: number }): Promise<string | null> {
    const pool = await Pool.open(this.devices, memory);
    const damaged = damagedIn(pool);
    await pool.repair();
    const left = await pool.check();
    await pool.close();
    if (left.length > 0) return `after a repair: ${JSON.stringify(left.slice(0, 3))}`;
    const again = await Pool.open(this.devices, memory);
    const fault = again.findings.length > 0 ? JSON.stringify(again.findings.slice(0, 3)) : null;
    if (fault !== null) return `opened after a repair: ${fault}`;
    if (damagedIn(again) !== damaged) return `damaged ${damaged}, repaired ${damagedIn(again)}`;
    for (const [name, volume] of namedDevices(again)) {
      const isWhole = volume.object.damage === '';
      const wrong = isWhole ? await this.contentFault(name, volume, 10) : null;
      if (wrong !== null) return `after a repair: ${wrong}`;
    }
    await again.close();
    return null;
  }

  /** Maps are read when they are needed: what is lost by then fails who needs it, by a status. */
  private async later(step: DamageStep, tally: Tally): Promise<string | null> {
    tally.later = (tally.later ?? 0) + 1;
    const pool = await Pool.open(this.devices, { isReadOnly: true, ...caches[0] });
    const wrong = this.damage(step);
    const lost = [...wrong].filter(([{ node }, bits]) => node !== 0 && bits > 1);
    const users = new Set(lost.flatMap(([{ node }]) => this.subject.users.get(node) ?? []));
    for (const [name, volume] of namedDevices(pool)) {
      const fault = await this.contentFault(name, volume, 60, users.has(name));
      if (fault !== null) return fault;
    }
    for (const { kind, what } of pool.findings) {
      const isLost = lost.some(([page]) => page.what === what);
      const isMended = [...wrong].some(([page, bits]) => bits % 2 === 1 && page.what === what);
      if (kind === 'mended' ? !isMended : !isLost) return `found ${kind} ${what}`;
      const key = `${kind} while it was open`;
      tally[key] = (tally[key] ?? 0) + 1;
    }
    await pool.close();
    return null;
  }

  /** @returns wrong bits by page, of those that a CRC covers */
  private damage(step: DamageStep): Map<MetadataPage, number> {
    const count =
      step.kind === 'bit' ? 1 : step.kind === 'bitsOfPages' ? step.pages.length : step.pageCount;
    const chosen = new Set(step.pages.slice(0, count).map((number) => this.pick(number)));
    const wrong = new Map<MetadataPage, number>();
    for (const [i, page] of [...chosen].entries()) {
      const bytes = this.bytesOf(page);
      const before = bytes.slice();
      this.devices[page.device]!.onChange!(page.at, page.bytes);
      this.spoil(step, page, i);
      const bits = differentBits(before, bytes, page.checkedBytes);
      if (bits > 0) wrong.set(page, bits);
    }
    return wrong;
  }

  private spoil({ kind, pages, bits }: DamageStep, page: MetadataPage, index: number): void {
    const bytes = this.bytesOf(page);
    if (kind === 'zeroes') bytes.fill(0);
    else if (kind === 'otherPage' || kind === 'tornPage') {
      const other = this.bytesOf(this.pages[pages.at(-1 - index)! % this.pages.length]!);
      const from = kind === 'tornPage' ? sectorBytes * (1 + (bits[0]! % 7)) : 0;
      bytes.set(other.subarray(from, page.bytes), from);
    } else {
      const some = kind === 'bits' ? bits : [bits[index]!];
      for (const bit of some) {
        const at = bit % (page.checkedBytes * 8);
        bytes[at >>> 3]! ^= 1 << (at & 7);
      }
    }
  }

  /** Every other time one of a kind of which there are few. */
  private pick(number: number): MetadataPage {
    const index = number >>> 1;
    if (number % 2 === 0) return this.pages[index % this.pages.length]!;
    const kind = this.kindsOfPages[index % this.kindsOfPages.length]!;
    const alike = this.pages.filter((page) => page.kind === kind);
    return alike[Math.floor(index / this.kindsOfPages.length) % alike.length]!;
  }

  private bytesOf({ device, at, bytes }: MetadataPage): Uint8Array {
    return this.devices[device]!.image.subarray(at, at + bytes);
  }

  /** Cells that were written, as many as are wanted, and the cells beside them. */
  private async contentFault(
    name: string,
    volume: Volume,
    count: number,
    mayFail = false,
  ): Promise<string | null> {
    const content = this.contents.get(name)!;
    const cells = [...content.keys()];
    const { buffer } = this;
    for (let i = 0; i < count; i++) {
      const pair = cells[this.chance.below(cells.length)]! & ~(2 * sectorsPerCell - 1);
      const wanted = { op: BlockOp.read, lba: pair, count: 2 * sectorsPerCell, region: buffer };
      const status = await runRequest(volume, wanted);
      if (status !== BlockStatus.ok && mayFail) continue;
      if (status !== BlockStatus.ok) return `${name}: a read ended with status ${status}`;
      for (let j = 0; j < 2 * sectorsPerCell; j++) {
        const sector = pair + j;
        const expected = content.get(sector - (sector % sectorsPerCell)) ?? 0;
        const found = versionOf(buffer.words, (j * sectorBytes) / 4, sector);
        if (found !== expected) return `${name} sector ${sector}: write ${found}, not ${expected}`;
      }
    }
    return null;
  }
}

function damagedIn(pool: Pool): string {
  const damaged = [...namedDevices(pool)].filter(([, { object }]) => object.damage !== '');
  return damaged.map(([name]) => name).join(' ');
}

function differentBits(a: Uint8Array, b: Uint8Array, count: number): number {
  let bits = 0;
  for (let i = 0; i < count; i++) {
    for (let rest = a[i]! ^ b[i]!; rest !== 0; rest &= rest - 1) bits++;
  }
  return bits;
}
