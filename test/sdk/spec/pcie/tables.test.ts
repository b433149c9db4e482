import * as assert from 'uvu/assert';
import type { Bits } from '../../../../sdk/spec/layout.js';
import {
  AdvancedErrors,
  CorrectableErrors,
  defaultSeverity,
  UncorrectableErrors,
} from '../../../../sdk/spec/pcie/advanced-error-reporting.js';
import {
  decodeTransferBytes,
  Express,
  encodeTransferBytes,
} from '../../../../sdk/spec/pcie/express.js';
import { barSize, barWriteMask, Header } from '../../../../sdk/spec/pcie/header.js';
import { Msix, MsixEntry } from '../../../../sdk/spec/pcie/msix.js';
import { PowerManagement } from '../../../../sdk/spec/pcie/power-management.js';
import { Sriov } from '../../../../sdk/spec/pcie/sriov.js';
import { suite } from '../../../support/suite.js';

const test = suite('PCIe tables');

/** The offsets and bits of the standard's figures, as pci_regs.h of Linux numbers them too. */
const places: readonly (readonly [Bits, number, number, number])[] = [
  [Header.deviceId, 0x00, 31, 16],
  [Header.busMasterEnable, 0x04, 2, 2],
  [Header.interruptDisable, 0x04, 10, 10],
  [Header.capabilitiesList, 0x04, 20, 20],
  [Header.baseClass, 0x08, 31, 24],
  [Header.multiFunction, 0x0c, 23, 23],
  [Header.bar5, 0x24, 31, 0],
  [Header.subsystemId, 0x2c, 31, 16],
  [Header.capabilitiesPointer, 0x34, 7, 0],
  [Header.interruptPin, 0x3c, 15, 8],
  [PowerManagement.powerState, 0x04, 1, 0],
  [PowerManagement.noSoftReset, 0x04, 3, 3],
  [PowerManagement.pmeStatus, 0x04, 15, 15],
  [Msix.tableCount, 0x00, 26, 16],
  [Msix.functionMask, 0x00, 30, 30],
  [Msix.enable, 0x00, 31, 31],
  [Msix.tableOffset8, 0x04, 31, 3],
  [MsixEntry.isMasked, 0x0c, 0, 0],
  [Express.functionResetCapable, 0x04, 28, 28],
  [Express.payload, 0x08, 7, 5],
  [Express.readRequest, 0x08, 14, 12],
  [Express.initiateFunctionReset, 0x08, 15, 15],
  [Express.transactionsPending, 0x08, 21, 21],
  [Express.maxLinkWidth, 0x0c, 9, 4],
  [Express.linkWidth, 0x10, 25, 20],
  [Express.supportedSpeeds, 0x2c, 7, 1],
  [AdvancedErrors.uncorrectableSeverity, 0x0c, 31, 0],
  [AdvancedErrors.correctableStatus, 0x10, 31, 0],
  [AdvancedErrors.headerLog3, 0x28, 31, 0],
  [UncorrectableErrors.completionTimeout, 0x00, 14, 14],
  [UncorrectableErrors.unsupportedRequest, 0x00, 20, 20],
  [CorrectableErrors.replayTimeout, 0x00, 12, 12],
  [Sriov.vfEnable, 0x08, 0, 0],
  [Sriov.vfMemoryEnable, 0x08, 3, 3],
  [Sriov.totalVfs, 0x0c, 31, 16],
  [Sriov.vfCount, 0x10, 15, 0],
  [Sriov.vfStride, 0x14, 31, 16],
  [Sriov.vfDeviceId, 0x18, 31, 16],
  [Sriov.vfBar5, 0x38, 31, 0],
];

test('fields stand where the figures of the standard put them', () => {
  for (const [field, offset, high, low] of places) {
    assert.is(field.dword * 4, offset, field.doc);
    assert.is(field.low, low, field.doc);
    assert.is(field.low + field.width - 1, high, field.doc);
  }
});

test('structures have the lengths of the standard', () => {
  const lengths = [Header, PowerManagement, Msix, MsixEntry, Express, AdvancedErrors, Sriov];
  assert.equal(
    lengths.map((table) => table.layout.bytes),
    [64, 8, 12, 16, 60, 44, 64],
  );
});

test('the fatal errors by default are the six that the standard lists', () => {
  const fatal = [
    UncorrectableErrors.dataLinkProtocol,
    UncorrectableErrors.surpriseDown,
    UncorrectableErrors.flowControlProtocol,
    UncorrectableErrors.receiverOverflow,
    UncorrectableErrors.malformedTlp,
    UncorrectableErrors.internal,
  ];
  assert.is(
    fatal.reduce((mask, field) => field.put(mask, 1), 0),
    defaultSeverity,
  );
});

test('a window of any power of two is found again from its write mask', () => {
  for (let power = 12; power <= 40; power++) {
    const { low, high } = barWriteMask(2 ** power);
    assert.is(barSize(low | 4, high), 2 ** power, `2^${power}`);
  }
  assert.is(barSize(0, 0), 0);
});

test('transfer sizes are 128 bytes times a power of two', () => {
  assert.equal([128, 256, 512, 4096].map(encodeTransferBytes), [0, 1, 2, 5]);
  assert.equal([0, 1, 2, 5].map(decodeTransferBytes), [128, 256, 512, 4096]);
});

test.run();
