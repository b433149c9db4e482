import * as assert from 'uvu/assert';
import { Cqe } from '../../../sdk/spec/nvme/completion.js';
import {
  CommandSpecificStatus,
  doNotRetry,
  GenericStatus,
  isRetryable,
  MediaStatus,
  PathStatus,
  Status,
  statusKind,
  statusText,
  withMore,
} from '../../../sdk/spec/nvme/status.js';
import { suite } from '../../support/suite.js';

const test = suite('completions and status');

test('no two names of a status code type share a value, and each lies in its type', () => {
  const types: [Record<string, number>, number][] = [
    [GenericStatus, 0],
    [CommandSpecificStatus, 1],
    [MediaStatus, 2],
    [PathStatus, 3],
  ];
  let names = 0;
  for (const [table, type] of types) {
    const values = Object.values(table);
    names += values.length;
    assert.is(new Set(values).size, values.length);
    for (const value of values) assert.is(value >> 8, type);
  }
  assert.is(Object.keys(Status).length, names);
});

test('codes of the standard have their values', () => {
  // [NVMe-2.0 §3.3.3.2.1] figures of status codes; a sample of every type and range.
  const figure: [number, number][] = [
    [Status.invalidOpcode, 0x001],
    [Status.abortRequested, 0x007],
    [Status.invalidNamespaceOrFormat, 0x00b],
    [Status.prpOffsetInvalid, 0x013],
    [Status.sanitizeInProgress, 0x01d],
    [Status.lbaOutOfRange, 0x080],
    [Status.reservationConflict, 0x083],
    [Status.completionQueueInvalid, 0x100],
    [Status.invalidQueueIdentifier, 0x101],
    [Status.invalidQueueSize, 0x102],
    [Status.asynchronousEventLimitExceeded, 0x105],
    [Status.invalidInterruptVector, 0x108],
    [Status.invalidLogPage, 0x109],
    [Status.invalidQueueDeletion, 0x10c],
    [Status.featureNotSaveable, 0x10d],
    [Status.overlappingRange, 0x114],
    [Status.invalidProtectionInformation, 0x181],
    [Status.writeFault, 0x280],
    [Status.compareFailure, 0x285],
    [Status.asymmetricAccessTransition, 0x303],
  ];
  for (const [value, expected] of figure) assert.is(value, expected);
});

test('a completion written as bytes gives head, queue, identifier, phase and status', () => {
  const bytes = Buffer.from('78563412 00000000 0a000300 cdab0142'.replace(/ /g, ''), 'hex');
  const words = new Uint32Array(new Uint8Array(bytes).buffer);
  assert.is(Cqe.dw0.get(words, 0), 0x1234_5678);
  assert.is(Cqe.sqhd.get(words, 0), 10);
  assert.is(Cqe.sqid.get(words, 0), 3);
  assert.is(Cqe.cid.get(words, 0), 0xabcd);
  assert.is(Cqe.p.get(words, 0), 1);
  assert.is(Cqe.status.get(words, 0), 0x2100);
  assert.is(Cqe.layout.bytes, 16);
});

test('invalid field as real drives send it, 8005h in the upper half of DW3, reads in words', () => {
  const words = new Uint32Array([0, 0, 0, 0x8005_0001]);
  const status = Cqe.status.get(words, 0);
  assert.is(statusKind(status), Status.invalidField);
  assert.is(isRetryable(status), false);
  assert.is(statusText(status), 'invalid field (SCT 0, SC 0x02, DNR)');
});

test('flags do not change which status it is', () => {
  const status = withMore(doNotRetry(Status.lbaOutOfRange));
  assert.is(status, 0x6080);
  assert.is(statusKind(status), Status.lbaOutOfRange);
  assert.is(statusText(status), 'lba out of range (SCT 0, SC 0x80, more, DNR)');
});

test('a status without a name says whether it is a vendor code', () => {
  assert.is(statusText(0x7c1), 'vendor status (SCT 7, SC 0xc1)');
  assert.is(statusText(0x1c1), 'vendor status (SCT 1, SC 0xc1)');
  assert.is(statusText(0x07f), 'unknown status (SCT 0, SC 0x7f)');
  assert.is(statusText(0x0880), 'lba out of range (SCT 0, SC 0x80, CRD 1)');
});

test.run();
