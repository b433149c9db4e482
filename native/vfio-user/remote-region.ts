import {
  CapabilityHeader,
  RegionCapability,
  RegionInfo,
  SparseArea,
  SparseMmap,
} from '../../sdk/spec/vfio-user/device.js';

/** A part of a region that may be mapped. */
export interface RemoteArea {
  /** From the start of the region. */
  readonly offset: number;
  readonly length: number;
}

/** A region as its server describes it, checked. */
export interface RegionDescription {
  readonly index: number;
  readonly length: number;
  /** Where it lies in the file. */
  readonly fileOffset: number;
  readonly areas: readonly RemoteArea[];
}

export interface RemoteRegion extends RegionDescription {
  /** Of the file; -1 when none came. */
  readonly fd: number;
}

/** More areas than a region has use for. */
const mostAreas = 1024;

/**
 * Read the reply to VFIO_USER_DEVICE_GET_REGION_INFO, and believe none of its lengths.
 *
 * @param payload  dwords of it
 * @returns        what is wrong with it, when something is
 */
export function readRegion(payload: Uint32Array, index: number): RegionDescription | string {
  const told = RegionInfo.index.get(payload, 0);
  if (told !== index) return `it describes region ${told}, asked for was ${index}`;
  for (const field of [RegionInfo.length, RegionInfo.offset]) {
    if (!field.isExact(payload, 0)) return `region ${index} has a length or offset beyond 2^53`;
  }
  const length = RegionInfo.length.get(payload, 0);
  const fileOffset = RegionInfo.offset.get(payload, 0);
  const region = { index, length, fileOffset };
  if (RegionInfo.isMappable.get(payload, 0) === 0 || length === 0) return { ...region, areas: [] };
  const areas = areasOf(payload, region);
  return typeof areas === 'string' ? areas : { ...region, areas };
}

function areasOf(
  payload: Uint32Array,
  region: { readonly index: number; readonly length: number },
): RemoteArea[] | string {
  const { index, length } = region;
  const at = sparseAt(payload);
  if (at === wrongList) return `the capabilities of region ${index} do not lie in its description`;
  if (at === noCapability) return [{ offset: 0, length }];
  const count = SparseMmap.areaCount.get(payload, at);
  const first = at + SparseMmap.layout.bytes / 4;
  const step = SparseArea.layout.bytes / 4;
  if (count > mostAreas || first + count * step > payload.length) {
    return `region ${index} lists ${count} areas, which its description has no room for`;
  }
  const areas: RemoteArea[] = [];
  for (let i = 0; i < count; i++) {
    const where = first + i * step;
    const offset = SparseArea.offset.get(payload, where);
    const bytes = SparseArea.length.get(payload, where);
    if (offset + bytes > length) {
      return `area ${i} of region ${index} ends at ${offset + bytes}, the region at ${length}`;
    }
    if (bytes > 0) areas.push({ offset, length: bytes });
  }
  return areas;
}

const noCapability = -1;
const wrongList = -2;

/** @returns dword at which the list of areas starts, or what there is instead */
function sparseAt(payload: Uint32Array): number {
  if (RegionInfo.hasCapabilities.get(payload, 0) === 0) return noCapability;
  const headWords = CapabilityHeader.layout.bytes / 4;
  let offset = RegionInfo.capabilityOffset.get(payload, 0);
  // Each has to lie behind the one before: such a list has an end.
  let before = RegionInfo.layout.bytes - 1;
  while (offset !== 0) {
    if (offset <= before || offset % 4 !== 0 || offset / 4 + headWords > payload.length) {
      return wrongList;
    }
    const at = offset / 4;
    if (CapabilityHeader.id.get(payload, at) === RegionCapability.sparseMmap) {
      return at + SparseMmap.layout.bytes / 4 > payload.length ? wrongList : at;
    }
    before = offset;
    offset = CapabilityHeader.next.get(payload, at);
  }
  return noCapability;
}
