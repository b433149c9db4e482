import { BlockOp } from '../block/request.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { usNs } from '../units.js';
import { sectorBytes } from './format.js';
import type { Trace } from './trace.js';

export interface EmitOptions {
  /** Leave out or round what the format cannot say, instead of refusing the trace. */
  readonly isLossy?: boolean;
}

/**
 * Lines of MQSim's ASCII format; reading them back gives the same columns. Operations other than
 * read and write, FUA and pieces of a sector cannot be said in it.
 *
 * @throws UltimaError USAGE that names the first record it cannot express
 */
export function* emitMqsim(trace: Trace, options: EmitOptions = {}): Generator<string> {
  const names = trace.devices.map((name, i) => (/^\d+$/.test(name) ? name : String(i)));
  for (let i = 0; i < trace.count; i++) {
    const op = trace.op[i];
    const offset = trace.offsetBytes[i]!;
    const length = trace.lengthBytes[i]!;
    const isData = op === BlockOp.read || op === BlockOp.write;
    const isWhole = offset % sectorBytes === 0 && length % sectorBytes === 0;
    if (options.isLossy !== true) {
      if (!isData) throw cannot(trace, { record: i, what: 'only reads and writes' }, 'MQSim');
      if (trace.flags[i] !== 0) throw cannot(trace, { record: i, what: 'no FUA' }, 'MQSim');
      if (!isWhole) throw cannot(trace, { record: i, what: 'whole sectors only' }, 'MQSim');
    }
    if (!isData) continue;
    const first = Math.floor(offset / sectorBytes);
    const sectors = Math.ceil((offset + length) / sectorBytes) - first;
    const type = op === BlockOp.read ? 1 : 0;
    yield `${trace.timeNs[i]} ${names[trace.device[i]!]} ${first} ${sectors} ${type}\n`;
  }
}

/**
 * Lines of fio's iolog, version 3; reading them back gives the same columns, and fio replays them.
 * Stamps are microseconds; FUA and write zeroes cannot be said in it.
 *
 * @throws UltimaError USAGE that names the first record it cannot express
 */
export function* emitFio3(trace: Trace, options: EmitOptions = {}): Generator<string> {
  const names = trace.devices.map((name) => name.replace(/\s/g, '_'));
  yield 'fio version 3 iolog\n';
  for (const name of names) yield `0 ${name} add\n`;
  for (const name of names) yield `0 ${name} open\n`;
  let us = 0;
  for (let i = 0; i < trace.count; i++) {
    const action = fioAction(trace.op[i]!);
    if (options.isLossy !== true) {
      const isFlagged = trace.flags[i] !== 0;
      if (action === '') throw cannot(trace, { record: i, what: 'no write zeroes' }, 'fio');
      if (isFlagged) throw cannot(trace, { record: i, what: 'no FUA' }, 'fio');
      if (trace.timeNs[i]! % usNs !== 0) {
        throw cannot(trace, { record: i, what: 'whole microseconds only' }, 'fio');
      }
    }
    if (action === '') continue;
    us = Math.floor(trace.timeNs[i]! / usNs);
    const name = names[trace.device[i]!];
    yield `${us} ${name} ${action} ${trace.offsetBytes[i]} ${trace.lengthBytes[i]}\n`;
  }
  for (const name of names) yield `${us} ${name} close\n`;
}

function fioAction(op: number): string {
  if (op === BlockOp.read) return 'read';
  if (op === BlockOp.write) return 'write';
  if (op === BlockOp.flush) return 'sync';
  return op === BlockOp.discard ? 'trim' : '';
}

function cannot(
  trace: Trace,
  at: { readonly record: number; readonly what: string },
  format: string,
): UltimaError {
  return new UltimaError(
    ErrorCode.usage,
    `${trace.source}, request ${at.record + 1}: ${format} has ${at.what}; write it lossy`,
    at,
  );
}
