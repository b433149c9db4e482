import { ErrorCode, UltimaError } from '../errors.js';
import { type Reservations, type ReservationsImage, ReservationType } from './reservations.js';

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** What is to outlive the device's power; null when nothing is. */
export function encodeReservations(reservations: Reservations): Uint8Array | null {
  if (!reservations.persistsThroughPowerLoss) return null;
  return encoder.encode(JSON.stringify({ format: 1, ...reservations.image() }));
}

/** @throws UltimaError NAMESPACE_INVALID for bytes that are no saved reservations */
export function decodeReservations(bytes: Uint8Array): ReservationsImage {
  const image = parse(bytes);
  if (image !== null) return image;
  throw new UltimaError(
    ErrorCode.namespaceInvalid,
    `${bytes.length} bytes that are no saved reservations; without them hosts that were kept out ` +
      'could come in: remove them only when no host writes any more',
  );
}

function parse(bytes: Uint8Array): ReservationsImage | null {
  let said: unknown;
  try {
    said = JSON.parse(decoder.decode(bytes));
  } catch {
    // No UTF-8, or no JSON.
    return null;
  }
  if (!isObject(said) || said.format !== 1 || !Array.isArray(said.registrants)) return null;
  const { generation, type, holderHost } = said;
  if (!isWord(generation) || !isWord(type)) return null;
  if (type > ReservationType.exclusiveAccessAllRegistrants) return null;
  const registrants: { host: string; key: { low: number; high: number } }[] = [];
  for (const each of said.registrants) {
    if (!isObject(each) || !isObject(each.key) || typeof each.host !== 'string') return null;
    const { low, high } = each.key;
    if (!isWord(low) || !isWord(high)) return null;
    registrants.push({ host: each.host, key: { low, high } });
  }
  if (holderHost !== null && !registrants.some(({ host }) => host === holderHost)) return null;
  if (typeof holderHost !== 'string' && holderHost !== null) return null;
  const isShared = type >= ReservationType.writeExclusiveAllRegistrants;
  const needsHolder = type !== ReservationType.none && !isShared;
  if (needsHolder !== (holderHost !== null) || (isShared && registrants.length === 0)) return null;
  return { generation, type, holderHost, registrants };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isWord(value: unknown): value is number {
  return typeof value === 'number' && value >>> 0 === value;
}
