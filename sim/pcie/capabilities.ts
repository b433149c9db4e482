import {
  AdvancedErrors,
  CorrectableErrors,
  defaultCorrectableMask,
  defaultSeverity,
  UncorrectableErrors,
} from '../../sdk/spec/pcie/advanced-error-reporting.js';
import { Express, encodeTransferBytes } from '../../sdk/spec/pcie/express.js';
import {
  barWriteMask,
  CapabilityId,
  ExtendedCapabilityId,
  firstExtendedCapability,
  Header,
  MemoryBar,
  NvmeClass,
} from '../../sdk/spec/pcie/header.js';
import { Msix } from '../../sdk/spec/pcie/msix.js';
import { PowerManagement } from '../../sdk/spec/pcie/power-management.js';
import { defaultPageSize, requiredPageSizes, Sriov } from '../../sdk/spec/pcie/sriov.js';
import type { IdentityProfile, LinkProfile } from '../profiles/profile.js';
import { ConfigRegisters, type Placed } from './config-space.js';
import type { MsixPlace } from './msix.js';

/** A 64-bit memory window; `index` is even, the BAR after it holds the high half. */
export interface BarShape {
  readonly index: 0 | 2 | 4;
  /** Power of two, at least 4 KiB. */
  readonly bytes: number;
  readonly isPrefetchable: boolean;
}

export interface ConfigShape {
  readonly identity: IdentityProfile;
  readonly link: LinkProfile;
  readonly bars: readonly BarShape[];
  readonly msixCount: number;
  readonly msixPlace: MsixPlace;
  /** Physical functions: how many virtual ones there can be; 0 leaves the capability out. */
  readonly virtualFunctions: number;
  /** A virtual function: identifiers read as all-ones, no BARs, no SR-IOV of its own. */
  readonly isVirtual: boolean;
}

/** Where the structures of our functions stand; the standard leaves that to us. */
export const header = { table: Header, offset: 0x00 };
export const powerManagement = { table: PowerManagement, offset: 0x40 };
export const msix = { table: Msix, offset: 0x50 };
export const express = { table: Express, offset: 0x70 };
export const advancedErrors = { table: AdvancedErrors, offset: firstExtendedCapability };
export const sriov = { table: Sriov, offset: 0x160 };
const barFields = [Header.bar0, Header.bar1, Header.bar2, Header.bar3, Header.bar4, Header.bar5];
const vfBarFields = [
  Sriov.vfBar0,
  Sriov.vfBar1,
  Sriov.vfBar2,
  Sriov.vfBar3,
  Sriov.vfBar4,
  Sriov.vfBar5,
];
const bits64 = 2;
/** INTA#, what a function with one pin has [PCIe-4.0 §7.5.1.1.13 Interrupt Pin]. */
const pinA = 1;

/** Configuration space of an NVMe function as it comes out of reset. */
export function buildConfig(shape: ConfigShape): ConfigRegisters {
  const config = new ConfigRegisters();
  addHeader(config, shape);
  for (const bar of shape.bars) {
    if (!shape.isVirtual) addBar(config, header, barFields, bar);
  }
  addPowerManagement(config);
  addMsix(config, shape);
  addExpress(config, shape.link);
  addErrors(config, shape.virtualFunctions > 0);
  if (shape.virtualFunctions > 0) addSriov(config, shape);
  config.freezeDefaults();
  return config;
}

/** Software's address of a window [PCIe-4.0 §7.5.1.2.1]. */
export function setBarAddress(config: ConfigRegisters, index: number, address: number): void {
  const low = barFields[index]!;
  config.words[low.dword] = MemoryBar.address.put(config.words[low.dword]!, address / 16);
  config.set(header, barFields[index + 1]!, address / 0x1_0000_0000);
}

function addHeader(config: ConfigRegisters, shape: ConfigShape): void {
  const { identity } = shape;
  const none = Header.vendorId.max;
  config.set(header, Header.vendorId, shape.isVirtual ? none : identity.vendorId);
  config.set(header, Header.deviceId, shape.isVirtual ? none : identity.deviceId);
  config.set(header, Header.capabilitiesList, 1);
  config.set(header, Header.revisionId, identity.revisionId);
  config.set(header, Header.baseClass, NvmeClass.baseClass);
  config.set(header, Header.subClass, NvmeClass.subClass);
  config.set(header, Header.programmingInterface, NvmeClass.programmingInterface);
  config.set(header, Header.subsystemVendorId, identity.subsystemVendorId);
  config.set(header, Header.subsystemId, identity.subsystemId);
  config.set(header, Header.capabilitiesPointer, powerManagement.offset);
  // In a virtual function the standard has VF MSE instead; the platform shows a bit of its own.
  config.allow(header, Header.busMasterEnable, Header.memorySpaceEnable);
  if (shape.isVirtual) return;
  config.set(header, Header.interruptPin, pinA);
  config.allow(
    header,
    Header.parityErrorResponse,
    Header.serrEnable,
    Header.interruptDisable,
    Header.cacheLineSize,
    Header.interruptLine,
  );
  config.allowClear(
    header,
    Header.masterDataParityError,
    Header.signaledTargetAbort,
    Header.receivedTargetAbort,
    Header.receivedMasterAbort,
    Header.signaledSystemError,
    Header.detectedParityError,
  );
}

function addBar(
  config: ConfigRegisters,
  place: Placed,
  fields: typeof barFields | typeof vfBarFields,
  bar: BarShape,
): void {
  const low = fields[bar.index]!;
  const high = fields[bar.index + 1]!;
  const mask = barWriteMask(bar.bytes);
  const kind = MemoryBar.isPrefetchable.put(
    MemoryBar.type.put(0, bits64),
    Number(bar.isPrefetchable),
  );
  config.set(place, low, kind);
  config.allowMask(place, low, mask.low);
  config.allowMask(place, high, mask.high);
}

function addPowerManagement(config: ConfigRegisters): void {
  const pm = powerManagement;
  config.set(pm, PowerManagement.capabilityId, CapabilityId.powerManagement);
  config.set(pm, PowerManagement.nextPointer, msix.offset);
  config.set(pm, PowerManagement.version, 3);
  config.set(pm, PowerManagement.noSoftReset, 1);
  config.allow(pm, PowerManagement.powerState);
}

function addMsix(config: ConfigRegisters, shape: ConfigShape): void {
  const { tableOffset, pendingOffset, bar } = shape.msixPlace;
  config.set(msix, Msix.capabilityId, CapabilityId.msix);
  config.set(msix, Msix.nextPointer, express.offset);
  config.set(msix, Msix.tableCount, shape.msixCount);
  config.set(msix, Msix.tableBar, bar);
  config.set(msix, Msix.tableOffset8, tableOffset / 8);
  config.set(msix, Msix.pendingBar, bar);
  config.set(msix, Msix.pendingOffset8, pendingOffset / 8);
  config.allow(msix, Msix.functionMask, Msix.enable);
}

function addExpress(config: ConfigRegisters, link: LinkProfile): void {
  config.set(express, Express.capabilityId, CapabilityId.pciExpress);
  config.set(express, Express.version, 2);
  config.set(express, Express.payloadSupported, encodeTransferBytes(link.maxPayloadBytes));
  config.set(express, Express.extendedTagSupported, 1);
  config.set(express, Express.roleBasedErrors, 1);
  config.set(express, Express.functionResetCapable, 1);
  config.set(express, Express.relaxedOrdering, 1);
  config.set(express, Express.noSnoop, 1);
  config.set(express, Express.readRequest, encodeTransferBytes(link.maxReadBytes));
  config.set(express, Express.maxLinkSpeed, link.generation);
  config.set(express, Express.maxLinkWidth, link.lanes);
  config.set(express, Express.linkSpeed, link.generation);
  config.set(express, Express.linkWidth, link.lanes);
  config.set(express, Express.slotClock, 1);
  config.set(express, Express.completionTimeoutDisableSupported, 1);
  config.set(express, Express.supportedSpeeds, 2 ** link.generation - 1);
  config.set(express, Express.targetSpeed, link.generation);
  config.allow(
    express,
    Express.correctableEnable,
    Express.nonFatalEnable,
    Express.fatalEnable,
    Express.unsupportedEnable,
    Express.relaxedOrdering,
    Express.payload,
    Express.extendedTag,
    Express.noSnoop,
    Express.readRequest,
    Express.initiateFunctionReset,
    Express.readCompletionBoundary,
    Express.commonClock,
    Express.completionTimeoutDisable,
    Express.targetSpeed,
  );
  config.allowClear(
    express,
    Express.correctableDetected,
    Express.nonFatalDetected,
    Express.fatalDetected,
    Express.unsupportedDetected,
  );
  config.keepOverReset(express, Express.payload, Express.readCompletionBoundary);
}

function addErrors(config: ConfigRegisters, hasNext: boolean): void {
  const aer = advancedErrors;
  config.set(aer, AdvancedErrors.capabilityId, ExtendedCapabilityId.advancedErrorReporting);
  config.set(aer, AdvancedErrors.version, 2);
  config.set(aer, AdvancedErrors.nextOffset, hasNext ? sriov.offset : 0);
  config.set(aer, AdvancedErrors.uncorrectableSeverity, defaultSeverity);
  config.set(aer, AdvancedErrors.correctableMask, defaultCorrectableMask);
  const uncorrectable = bitsOf(UncorrectableErrors);
  const correctable = bitsOf(CorrectableErrors);
  config.allowMask(aer, AdvancedErrors.uncorrectableMask, uncorrectable);
  config.allowMask(aer, AdvancedErrors.uncorrectableSeverity, uncorrectable);
  config.allowMask(aer, AdvancedErrors.correctableMask, correctable);
  config.allowClear(aer, AdvancedErrors.uncorrectableStatus, AdvancedErrors.correctableStatus);
  config.keepOverReset(
    aer,
    AdvancedErrors.uncorrectableStatus,
    AdvancedErrors.uncorrectableMask,
    AdvancedErrors.uncorrectableSeverity,
    AdvancedErrors.correctableStatus,
    AdvancedErrors.correctableMask,
    AdvancedErrors.firstErrorPointer,
    AdvancedErrors.headerLog0,
    AdvancedErrors.headerLog1,
    AdvancedErrors.headerLog2,
    AdvancedErrors.headerLog3,
  );
}

function addSriov(config: ConfigRegisters, shape: ConfigShape): void {
  config.set(sriov, Sriov.capabilityId, ExtendedCapabilityId.singleRootIoVirtualization);
  config.set(sriov, Sriov.version, 1);
  config.set(sriov, Sriov.initialVfs, shape.virtualFunctions);
  config.set(sriov, Sriov.totalVfs, shape.virtualFunctions);
  config.set(sriov, Sriov.firstVfOffset, 1);
  config.set(sriov, Sriov.vfStride, 1);
  config.set(sriov, Sriov.vfDeviceId, shape.identity.deviceId);
  config.set(sriov, Sriov.supportedPageSizes, requiredPageSizes);
  config.set(sriov, Sriov.systemPageSize, defaultPageSize);
  for (const bar of shape.bars) addBar(config, sriov, vfBarFields, bar);
  config.allow(sriov, Sriov.vfEnable, Sriov.vfMemoryEnable, Sriov.vfCount);
  config.allowMask(sriov, Sriov.systemPageSize, requiredPageSizes);
}

/** All bits that the fields of a one-dword table name. */
function bitsOf(table: typeof UncorrectableErrors | typeof CorrectableErrors): number {
  let mask = 0;
  for (const field of Object.values(table)) {
    if ('put' in field) mask |= field.put(0, field.max);
  }
  return mask;
}
