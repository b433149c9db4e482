import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import {
  DeviceFeature,
  Feature,
  MigrationAbility,
  MigrationData,
  MigrationState,
  MigrationStateData,
} from '../../sdk/spec/vfio-user/feature.js';
import { Command } from '../../sdk/spec/vfio-user/header.js';
import { KiB } from '../../sdk/units.js';
import { ourTransferBytes } from './agreement.js';
import { callFailure } from './call-failure.js';
import {
  type Channel,
  type Expected,
  headerBytes,
  noReply,
  nothingExpected,
  payloadAt,
} from './channel.js';

const featureBytes = DeviceFeature.layout.bytes;
const featureWords = featureBytes / 4;
const stateBytes = featureBytes + MigrationStateData.layout.bytes;
const abilityBytes = featureBytes + MigrationAbility.layout.bytes;
const dataBytes = MigrationData.layout.bytes;
/** A server that gives its state a byte at a time is none. */
const leastChunkBytes = 4 * KiB;
/** Longest state that is carried. */
const mostStateBytes = 2 ** 32;

/** A connection that the state of a device travels over. */
export interface StateWay {
  readonly channel: Channel;
  /** Of the server, for messages. */
  readonly path: string;
  /** Data in one message, as agreed on. */
  readonly transferBytes: number;
}

/** @throws UltimaError DEVICE_UNSUPPORTED when the device cannot be moved, DEVICE_REMOVED */
export function demandMovable({ channel, path }: StateWay): void {
  draftFeature(channel, Feature.migration, 'get', abilityBytes);
  const expected = { least: abilityBytes, most: abilityBytes, descriptors: 0 };
  const errno = channel.call(Command.deviceFeature, featureBytes, expected);
  if (errno === noReply)
    throw callFailure({ channel, path }, 'VFIO_DEVICE_FEATURE_MIGRATION', errno);
  const canStop = MigrationAbility.stopCopy.get(channel.reply, payloadAt + featureWords) === 1;
  if (errno === 0 && canStop) return;
  throw new UltimaError(
    ErrorCode.deviceUnsupported,
    `${path}: the state of the device cannot be moved; start its server with --movable`,
    { path, errno },
  );
}

/**
 * Stop the device and carry all of its state away. It stays stopped.
 *
 * @throws UltimaError DEVICE_MISBEHAVED, DEVICE_REMOVED
 */
export function takeState(way: StateWay): readonly Uint8Array[] {
  const { channel, path } = way;
  setState(way, MigrationState.stopCopy);
  const chunkBytes = chunkOf(way);
  const expected = { least: dataBytes, most: dataBytes + chunkBytes, descriptors: 0 };
  const chunks: Uint8Array[] = [];
  for (let total = 0; total <= mostStateBytes; ) {
    MigrationData.argsz.set(channel.draft, payloadAt, dataBytes + chunkBytes);
    MigrationData.size.set(channel.draft, payloadAt, chunkBytes);
    const errno = channel.call(Command.migrationRead, dataBytes, expected);
    if (errno !== 0) throw callFailure(way, 'VFIO_USER_MIG_DATA_READ', errno);
    const size = MigrationData.size.get(channel.reply, payloadAt);
    if (size !== channel.replyBytes - dataBytes) {
      throw wrong(
        path,
        `it gave ${channel.replyBytes - dataBytes} bytes of state and says ${size}`,
      );
    }
    if (size === 0) return chunks;
    const { buffer } = channel.reply;
    chunks.push(new Uint8Array(buffer, headerBytes + dataBytes, size).slice());
    total += size;
  }
  throw wrong(path, `its state has more than ${mostStateBytes} bytes`);
}

/**
 * Give a device the state of another one. It becomes that device, and goes on, with `resume`.
 *
 * @throws UltimaError DEVICE_MISBEHAVED, DEVICE_REMOVED
 */
export function giveState(way: StateWay, chunks: readonly Uint8Array[]): void {
  const { channel } = way;
  setState(way, MigrationState.resuming);
  const chunkBytes = chunkOf(way);
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += chunkBytes) {
      const part = chunk.subarray(at, at + chunkBytes);
      MigrationData.argsz.set(channel.draft, payloadAt, dataBytes + part.length);
      MigrationData.size.set(channel.draft, payloadAt, part.length);
      channel.draftBytes.set(part, headerBytes + dataBytes);
      const bytes = dataBytes + part.length;
      const errno = channel.call(Command.migrationWrite, bytes, nothingExpected);
      if (errno !== 0) throw callFailure(way, 'VFIO_USER_MIG_DATA_WRITE', errno);
    }
  }
}

/** The device goes on: where it stopped, or as what it was given. @throws as `giveState` */
export function resume(way: StateWay): void {
  setState(way, MigrationState.running);
}

function setState(way: StateWay, state: number): void {
  const { channel } = way;
  draftFeature(channel, Feature.migrationState, 'set', stateBytes);
  MigrationStateData.state.set(channel.draft, payloadAt + featureWords, state);
  const expected: Expected = { least: featureBytes, most: stateBytes, descriptors: 0 };
  const errno = channel.call(Command.deviceFeature, stateBytes, expected);
  if (errno !== 0) throw callFailure(way, 'VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE', errno);
}

function draftFeature(channel: Channel, feature: number, how: 'get' | 'set', bytes: number): void {
  const { draft } = channel;
  draft.fill(0, payloadAt, payloadAt + bytes / 4);
  DeviceFeature.argsz.set(draft, payloadAt, bytes);
  DeviceFeature.feature.set(draft, payloadAt, feature);
  DeviceFeature[how].set(draft, payloadAt, 1);
}

function chunkOf({ transferBytes }: StateWay): number {
  return Math.max(leastChunkBytes, Math.min(transferBytes, ourTransferBytes));
}

function wrong(path: string, what: string): UltimaError {
  return new UltimaError(ErrorCode.deviceMisbehaved, `${path}: ${what}`, { path });
}
