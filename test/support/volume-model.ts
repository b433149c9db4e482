export const sectorBytes = 512;
const sectorWords = sectorBytes / 4;

/** A volume or snapshot of the model: the number of the write that made each sector, 0 for none. */
export interface ModelObject {
  readonly bytes: number;
  readonly sectors: Uint32Array;
}

/**
 * The naive model of a pool: whole arrays, copied whenever something is snapshotted, cloned or
 * restored. Snapshots are named 'volume@snapshot'.
 */
export class VolumeModel {
  readonly objects = new Map<string, ModelObject>();
  /** How often the first device has become larger, and whether there is a second one. */
  growths = 0;
  hasSecond = false;

  copy(): VolumeModel {
    const copy = new VolumeModel();
    copy.growths = this.growths;
    copy.hasSecond = this.hasSecond;
    for (const [name, { bytes, sectors }] of this.objects) {
      copy.objects.set(name, { bytes, sectors: sectors.slice() });
    }
    return copy;
  }

  has(name: string): boolean {
    return this.objects.has(name);
  }

  create(name: string, bytes: number): void {
    this.objects.set(name, { bytes, sectors: new Uint32Array(bytes / sectorBytes) });
  }

  /** Sectors hold what write `version` puts there; 0 for zeroes. */
  set(name: string, first: number, count: number, version: number): void {
    this.objects.get(name)!.sectors.fill(version, first, first + count);
  }

  duplicate(from: string, to: string): void {
    const { bytes, sectors } = this.objects.get(from)!;
    this.objects.set(to, { bytes, sectors: sectors.slice() });
  }

  grow(name: string, bytes: number): void {
    const { sectors } = this.objects.get(name)!;
    const next = new Uint32Array(bytes / sectorBytes);
    next.set(sectors);
    this.objects.set(name, { bytes, sectors: next });
  }

  /** The volume keeps its size: what the snapshot did not have reads as zeroes. */
  restore(volume: string, from: string, kept: string): void {
    this.duplicate(volume, kept);
    const { bytes } = this.objects.get(volume)!;
    const sectors = new Uint32Array(bytes / sectorBytes);
    sectors.set(this.objects.get(from)!.sectors);
    this.objects.set(volume, { bytes, sectors });
  }

  snapshotsOf(volume: string): string[] {
    return [...this.objects.keys()].filter((name) => name.startsWith(`${volume}@`));
  }

  /** Names and sizes of everything, for comparison. */
  get catalog(): string {
    const rows = [...this.objects].map(([name, { bytes }]) => `${name}:${bytes}`);
    return rows.sort().join(' ');
  }
}

/** Fill sectors as write `version` does; they say where they belong. */
export function stampSectors(bytes: Uint8Array, first: number, version: number): void {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  for (let i = 0; i < words.length; i += sectorWords) {
    words.fill(Math.imul(version, 0x9e37_79b1) ^ (first + i / sectorWords), i, i + sectorWords);
    words[i] = version;
    words[i + sectorWords - 1] = first + i / sectorWords;
  }
}

/** The write that a sector comes from; -1 when it is none's, or another sector's. */
export function versionOf(words: Uint32Array, at: number, sector: number): number {
  const version = words[at]!;
  const inner = words[at + sectorWords / 2]!;
  const last = words[at + sectorWords - 1]!;
  if (version === 0) return inner === 0 && last === 0 ? 0 : -1;
  const expected = (Math.imul(version, 0x9e37_79b1) ^ sector) >>> 0;
  return inner === expected && last === sector ? version : -1;
}
