import {
  DeviceFeature,
  DmaLogging,
  DmaLoggingRange,
  DmaLoggingReport,
  Feature,
} from '../../sdk/spec/vfio-user/feature.js';
import { Errno } from '../../sdk/spec/vfio-user/header.js';
import type { Answer, Handler, Place } from './answers.js';
import { DirtyPages, type LoggedRange } from './dirty-pages.js';
import type { Message } from './message-stream.js';
import { giveAbility, giveState, takeState } from './migration-messages.js';

const headBytes = DeviceFeature.layout.bytes;
const headDwords = headBytes / 4;
/** Ranges that may be logged at one time. */
const mostRanges = 128;

/** What can be done with a feature. */
const abilities: ReadonlyMap<number, readonly string[]> = new Map([
  [Feature.migration, ['get']],
  [Feature.migrationState, ['get', 'set']],
  [Feature.dmaLoggingStart, ['set']],
  [Feature.dmaLoggingStop, ['set']],
  [Feature.dmaLoggingReport, ['get']],
]);

/**
 * Features of the device: logging of the pages that it writes, and migration where the server
 * offers it [vfio-user §VFIO_USER_DEVICE_FEATURE].
 */
export const deviceFeature: Handler = (message, place) => {
  const { words } = message;
  const isGet = DeviceFeature.get.get(words, 0) === 1;
  const isSet = DeviceFeature.set.get(words, 0) === 1;
  const isProbe = DeviceFeature.probe.get(words, 0) === 1;
  if (DeviceFeature.argsz.get(words, 0) < headBytes) return Errno.EINVAL;
  if (DeviceFeature.reserved.get(words, 0) !== 0) return Errno.EINVAL;
  if (!isProbe && isGet === isSet) return Errno.EINVAL;
  const feature = DeviceFeature.feature.get(words, 0);
  const ability = abilities.get(feature);
  const asked = [...(isGet ? ['get'] : []), ...(isSet ? ['set'] : [])];
  if (!asked.every((word) => ability?.includes(word))) return Errno.EOPNOTSUPP;
  if (ability === undefined || !isOffered(feature, place)) return Errno.EOPNOTSUPP;
  if (isProbe) return { payload: message.payload };
  if (feature === Feature.migration) return giveAbility(message);
  if (feature === Feature.migrationState) {
    return isGet ? giveState(message, place) : takeState(message, place);
  }
  if (feature === Feature.dmaLoggingStart) return startLogging(message, place);
  if (feature === Feature.dmaLoggingReport) return reportPages(message, place);
  place.served.memory.dirty.stop();
  return { payload: message.payload };
};

function isOffered(feature: number, place: Place): boolean {
  const isMigration = feature === Feature.migration || feature === Feature.migrationState;
  return !isMigration || place.served.migration.isPossible;
}

function startLogging(message: Message, place: Place): Answer {
  const { words, payload } = message;
  if (payload.length < headBytes + DmaLogging.layout.bytes) return Errno.EINVAL;
  const count = DmaLogging.rangeCount.get(words, headDwords);
  if (count > mostRanges) return Errno.E2BIG;
  const first = headBytes + DmaLogging.layout.bytes;
  if (payload.length !== first + count * DmaLoggingRange.layout.bytes) return Errno.EINVAL;
  const ranges: LoggedRange[] = [];
  for (let i = 0; i < count; i++) {
    const at = (first + i * DmaLoggingRange.layout.bytes) / 4;
    const { address, length } = DmaLoggingRange;
    if (!address.isExact(words, at) || !length.isExact(words, at)) return Errno.EINVAL;
    ranges.push({ address: address.get(words, at), length: length.get(words, at) });
  }
  const errno = place.served.memory.dirty.start(ranges);
  if (errno !== 0) return errno;
  const answer = words.slice();
  DmaLogging.pageBytes.set(answer, headDwords, DirtyPages.unitBytes);
  return { payload: new Uint8Array(answer.buffer, 0, payload.length) };
}

function reportPages(message: Message, place: Place): Answer {
  const { words, payload } = message;
  const fixed = headBytes + DmaLoggingReport.layout.bytes;
  if (payload.length < fixed) return Errno.EINVAL;
  const fields = [DmaLoggingReport.address, DmaLoggingReport.length, DmaLoggingReport.pageBytes];
  if (!fields.every((field) => field.isExact(words, headDwords))) return Errno.EINVAL;
  const [address = 0, length = 0, page = 0] = fields.map((field) => field.get(words, headDwords));
  const { dirty } = place.served.memory;
  const bytes = dirty.reportBytes(address, length, page);
  if (bytes < 0) return -bytes;
  // A peer that has no room for all of it sees in argsz how much it needs, and loses no bit.
  const isWhole = DeviceFeature.argsz.get(words, 0) >= fixed + bytes;
  const answer = new Uint8Array(fixed + (isWhole ? bytes : 0));
  answer.set(payload.subarray(0, fixed));
  const head = new Uint32Array(answer.buffer, 0, headDwords);
  DeviceFeature.argsz.set(head, 0, fixed + bytes);
  if (isWhole) dirty.report(address, length, page, answer.subarray(fixed));
  return { payload: answer };
}
