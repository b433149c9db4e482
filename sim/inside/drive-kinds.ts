import type { Drive, DriveListener } from '../ftl/drive.js';
import { driveUnitBytes } from '../ftl/drive.js';
import { Layout } from '../ftl/layout.js';
import { type DriveMedium, makeDrive } from '../ftl/make-drive.js';
import type { InsideProfile } from '../profiles/inside.js';
import type { World } from '../world.js';

/** Makes drive number `index`. */
export type MakeDrive = (index: number, listener: DriveListener) => Drive;

/** What a card must know of its drives before it makes them. */
export interface DriveKind {
  /** Units of one drive, units of one program of it, and its write streams. */
  readonly driveUnits: number;
  readonly rowUnits: number;
  readonly streams: number;
  /** 4 KiB from the medium, without queues. */
  readonly typicalReadNs: number;
  /** One unit of many that are written at one time to one drive. */
  readonly unitWriteNs: number;
  /** Every block erased, all dies at one time. */
  readonly eraseAllNs: number;
  /** @param name  of the card: drives of different cards have different chance */
  makeDrive(world: World, name: string): MakeDrive;
}

/** What units are counted in. */
export const unitBytes = driveUnitBytes;

export function describeDrive(inside: InsideProfile): DriveKind {
  const { flash, ftl, inPlace } = inside;
  const medium = mediumOf(inside);
  return {
    driveUnits: driveUnitsOf(inside),
    rowUnits: rowUnitsOf(inside),
    streams: ftl?.streams ?? 1,
    typicalReadNs: flash?.pageTypes[0]?.readNs ?? inPlace?.readNs ?? 0,
    unitWriteNs: unitWriteNs(inside),
    eraseAllNs: eraseAllNs(inside),
    makeDrive: (world, name) => (index, listener) =>
      makeDrive({ medium, world, listener, name: `${name} drive ${index}` }),
  };
}

function mediumOf(inside: InsideProfile): DriveMedium {
  const { flash, ftl, inPlace } = inside;
  if (flash !== null && ftl !== null) return { flash, ftl };
  if (inPlace !== null) return { inPlace };
  throw new TypeError('an inside has flash with its translation layer, or cells written in place');
}

function driveUnitsOf(inside: InsideProfile): number {
  const { flash, ftl, inPlace } = inside;
  if (flash !== null && ftl !== null) return new Layout(flash, ftl).hostUnits;
  if (inPlace === null) return 0;
  return Math.floor((inPlace.channels * inPlace.diesPerChannel * inPlace.bytesPerDie) / unitBytes);
}

/** Units that a host can address on all drives. */
export function capacityUnits(inside: InsideProfile): number {
  const { drives, stripeBytes } = inside;
  const units = driveUnitsOf(inside);
  const stripe = stripeBytes / unitBytes;
  return drives === 1 ? units : drives * Math.floor(units / stripe) * stripe;
}

/** Units that one program of a drive writes. */
export function rowUnitsOf(inside: InsideProfile): number {
  const { flash, ftl } = inside;
  return flash === null || ftl === null ? 1 : new Layout(flash, ftl).unitsPerRow;
}

function eraseAllNs(inside: InsideProfile): number {
  const { flash, inPlace } = inside;
  if (flash !== null) {
    const blocks = flash.blocksPerPlane * (flash.hasMultiPlane ? 1 : flash.planesPerDie);
    // Commands and what is suspended come on top: a tenth is more than enough.
    return Math.ceil(1.1 * blocks * flash.eraseNs);
  }
  return inPlace === null ? 0 : Math.ceil(driveUnitsOf(inside) * unitWriteNs(inside));
}

function unitWriteNs(inside: InsideProfile): number {
  const { flash, inPlace } = inside;
  if (inPlace !== null) {
    const groups = (inPlace.channels * inPlace.diesPerChannel) / inPlace.stripeDies;
    return inPlace.writeNs / groups;
  }
  if (flash === null) return 0;
  const dies = flash.channels * flash.packagesPerChannel * flash.diesPerPackage;
  const programNs = flash.pageTypes.reduce((sum, type) => sum + type.programNs, 0);
  return programNs / flash.pageTypes.length / (dies * rowUnitsOf(inside));
}
