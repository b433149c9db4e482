import {
  RegionAccess,
  RegionWriteItem,
  RegionWriteMulti,
} from '../../sdk/spec/vfio-user/access.js';
import { Errno } from '../../sdk/spec/vfio-user/header.js';
import { bytesOf, echoOf, type Handler, type Place } from './answers.js';

const headBytes = RegionAccess.layout.bytes;
const itemDwords = RegionWriteItem.layout.bytes / 4;
/** A write in a message of many has at most so much data. */
const itemDataBytes = 8;

interface Access {
  readonly region: number;
  readonly offset: number;
  readonly count: number;
}

/** [vfio-user §VFIO_USER_REGION_READ] */
export const regionRead: Handler = (message, place) => {
  const access = accessAt(message.words, 0);
  if (access === null || access.count > place.transferBytes) return Errno.EINVAL;
  const { regions } = place.served;
  const errno = regions.check(access.region, access.offset, access.count);
  if (errno !== 0) return errno;
  const payload = new Uint8Array(headBytes + access.count);
  payload.set(message.payload.subarray(0, headBytes));
  regions.read(access.region, access.offset, payload.subarray(headBytes));
  return { payload };
};

/** [vfio-user §VFIO_USER_REGION_WRITE] */
export const regionWrite: Handler = (message, place) => {
  const access = accessAt(message.words, 0);
  if (access === null || access.count > place.transferBytes) return Errno.EINVAL;
  if (message.payload.length !== headBytes + access.count) return Errno.EINVAL;
  const { regions } = place.served;
  const errno = regions.checkWrite(access.region, access.offset, access.count);
  if (errno !== 0) return errno;
  regions.write(access.region, access.offset, message.payload.subarray(headBytes));
  place.served.interrupts.settlePin();
  return { payload: bytesOf(echoOf(message, RegionAccess)) };
};

/**
 * All writes of the message are checked before the first one is made
 * [vfio-user §VFIO_USER_REGION_WRITE_MULTI].
 */
export const regionWriteMulti: Handler = (message, place) => {
  if (!place.hasWriteMultiple) return Errno.EOPNOTSUPP;
  const { words, payload } = message;
  const headDwords = RegionWriteMulti.layout.bytes / 4;
  const count = RegionWriteMulti.count.get(words, 0);
  if (!RegionWriteMulti.count.isExact(words, 0)) return Errno.EINVAL;
  if (payload.length !== RegionWriteMulti.layout.bytes + count * itemDwords * 4) {
    return Errno.EINVAL;
  }
  for (let i = 0; i < count; i++) {
    const errno = checkItem(words, headDwords + i * itemDwords, place);
    if (errno !== 0) return errno;
  }
  for (let i = 0; i < count; i++) writeItem(words, headDwords + i * itemDwords, place);
  place.served.interrupts.settlePin();
  return { payload: bytesOf(echoOf(message, RegionWriteMulti)) };
};

function checkItem(words: Uint32Array, at: number, place: Place): number {
  const access = accessAt(words, at);
  if (access === null || access.count > itemDataBytes) return Errno.EINVAL;
  return place.served.regions.checkWrite(access.region, access.offset, access.count);
}

function writeItem(words: Uint32Array, at: number, place: Place): void {
  const access = accessAt(words, at)!;
  const data = RegionWriteItem.data.bytes(words, at).subarray(0, access.count);
  place.served.regions.write(access.region, access.offset, data);
}

/** @returns null for an offset that is no exact number */
function accessAt(words: Uint32Array, at: number): Access | null {
  if (!RegionAccess.offset.isExact(words, at)) return null;
  return {
    offset: RegionAccess.offset.get(words, at),
    region: RegionAccess.region.get(words, at),
    count: RegionAccess.count.get(words, at),
  };
}
