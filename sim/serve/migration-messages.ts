import {
  DeviceFeature,
  MigrationAbility,
  MigrationData,
  MigrationStateData,
} from '../../sdk/spec/vfio-user/feature.js';
import { Errno } from '../../sdk/spec/vfio-user/header.js';
import { type Answer, bytesOf, done, type Handler, type Place } from './answers.js';
import type { Message } from './message-stream.js';

const headDwords = DeviceFeature.layout.bytes / 4;
const dataBytes = MigrationData.layout.bytes;

/** [vfio-user §VFIO_USER_DEVICE_FEATURE VFIO_DEVICE_FEATURE_MIGRATION] */
export function giveAbility(message: Message): Answer {
  const words = answerFor(message, MigrationAbility.layout.bytes);
  MigrationAbility.stopCopy.set(words, headDwords, 1);
  return { payload: bytesOf(words) };
}

/** [vfio-user §VFIO_USER_DEVICE_FEATURE VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE] */
export function giveState(message: Message, place: Place): Answer {
  const words = answerFor(message, MigrationStateData.layout.bytes);
  MigrationStateData.state.set(words, headDwords, place.served.migration.state);
  return { payload: bytesOf(words) };
}

export function takeState(message: Message, place: Place): Answer {
  const { words, payload } = message;
  if (payload.length < headDwords * 4 + MigrationStateData.layout.bytes) return Errno.EINVAL;
  const errno = place.served.migration.goTo(MigrationStateData.state.get(words, headDwords));
  return errno === 0 ? { payload } : errno;
}

/** [vfio-user §VFIO_USER_MIG_DATA_READ] */
export const migrationRead: Handler = (message, place) => {
  const { words } = message;
  const size = MigrationData.size.get(words, 0);
  if (MigrationData.argsz.get(words, 0) < dataBytes + size) return Errno.EINVAL;
  if (size > place.transferBytes) return Errno.EINVAL;
  if (!place.served.migration.isPossible) return Errno.EOPNOTSUPP;
  const bytes = place.served.migration.read(size);
  if (bytes === null) return Errno.EINVAL;
  const payload = new Uint8Array(dataBytes + bytes.length);
  const head = new Uint32Array(payload.buffer, 0, dataBytes / 4);
  MigrationData.argsz.set(head, 0, payload.length);
  MigrationData.size.set(head, 0, bytes.length);
  payload.set(bytes, dataBytes);
  return { payload };
};

/** [vfio-user §VFIO_USER_MIG_DATA_WRITE] */
export const migrationWrite: Handler = (message, place) => {
  const { words, payload } = message;
  const size = MigrationData.size.get(words, 0);
  if (size > place.transferBytes || payload.length !== dataBytes + size) return Errno.EINVAL;
  if (!place.served.migration.isPossible) return Errno.EOPNOTSUPP;
  const errno = place.served.migration.write(payload.subarray(dataBytes));
  return errno === 0 ? done : errno;
};

/** The head of a feature message and room for its data. */
function answerFor(message: Message, bytes: number): Uint32Array {
  const words = new Uint32Array(headDwords + bytes / 4);
  words.set(message.words.subarray(0, headDwords));
  DeviceFeature.argsz.set(words, 0, words.length * 4);
  return words;
}
