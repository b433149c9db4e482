import { commandSizeExponent } from '../../../sdk/spec/nvme/command.js';
import { completionSizeExponent } from '../../../sdk/spec/nvme/completion.js';
import {
  ControllerType,
  FlushBroadcast,
  IdentifyController,
  IdentifyControllerNvm,
} from '../../../sdk/spec/nvme/identify-controller.js';
import { Vs } from '../../../sdk/spec/nvme/registers.js';
import { secondNs } from '../../../sdk/units.js';
import { criticalKelvin, warningKelvin } from '../health.js';
import { onlyGroup } from '../subsystem.js';
import type { AdminContext } from './context.js';
import { firmwareGranularityBytes } from './firmware-download.js';
import { managedKelvin } from './health-watch.js';
import { powerStates, writePowerState } from './power-states.js';

const C = IdentifyController;

const minuteNs = 60 * secondNs;
const tenthNs = secondNs / 10;

/** Identify Controller, CNS 01h [NVMe-2.0 §5.17.2.1], into an empty page. */
export function writeController(context: AdminContext, words: Uint32Array): void {
  writeIdentity(context, words);
  writeCapabilities(context, words);
  writeFirmwareAndLogs(context, words);
  writeThermalAndPower(context, words);
  writeCapacities(context, words);
  writeCommandSupport(context, words);
}

function writeIdentity(context: AdminContext, words: Uint32Array): void {
  const { profile, subsystem } = context;
  const { identity } = profile;
  const secondary = subsystem.secondaries.find(context.controllerId);
  C.vid.set(words, 0, identity.vendorId);
  C.ssvid.set(words, 0, identity.subsystemVendorId);
  C.sn.setText(words, 0, identity.serialNumber);
  C.mn.setText(words, 0, identity.modelNumber);
  C.fr.setText(words, 0, subsystem.firmware.runningRevision);
  C.ieee.set(words, 0, identity.ieeeOui);
  C.rab.set(words, 0, recommendedBurst);
  C.cmicMultipleControllers.set(words, 0, subsystem.controllerIds.length > 1 ? 1 : 0);
  C.cmicVirtualFunction.set(words, 0, secondary === undefined ? 0 : 1);
  C.cmicAna.set(words, 0, 1);
  C.mdts.set(words, 0, powerOfTwo(profile.controller.maxTransferBytes / pageBytes(context)));
  C.cntlid.set(words, 0, context.controllerId);
  C.ver.set(words, 0, Vs.mjr.put(0, 2));
  C.cntrltype.set(words, 0, ControllerType.io);
  const vendors = hex4(identity.vendorId) + hex4(identity.subsystemVendorId);
  const name = `nqn.2014-08.org.nvmexpress:${vendors}`;
  const subnqn = `${name}${identity.serialNumber.padEnd(20)}${identity.modelNumber.padEnd(40)}`;
  C.subnqn.bytes(words, 0).set(Buffer.from(subnqn, 'latin1'));
}

/** Eight entries: RAB is a power of two. */
const recommendedBurst = 3; // guess

function writeCapabilities(context: AdminContext, words: Uint32Array): void {
  const { profile } = context;
  const { controller, firmware } = profile;
  C.rtd3r.set(words, 0, toMicroseconds(firmware.bootNs + firmware.readyNs));
  C.rtd3e.set(words, 0, toMicroseconds(firmware.shutdownNs));
  for (const field of [C.oaesNamespace, C.oaesFirmware, C.oaesAna]) field.set(words, 0, 1);
  C.ctrattHostId128.set(words, 0, 1);
  C.ctrattNopspm.set(words, 0, 1);
  C.ctrattSets.set(words, 0, 1);
  C.ctrattEnduranceGroups.set(words, 0, 1);
  C.ctrattGranularity.set(words, 0, 1);
  C.ctrattUuidList.set(words, 0, 1);
  C.oacsSecurity.set(words, 0, 1);
  C.oacsFormat.set(words, 0, 1);
  C.oacsFirmware.set(words, 0, 1);
  C.oacsNamespace.set(words, 0, profile.subsystem.hasNamespaceManagement ? 1 : 0);
  C.oacsSelfTest.set(words, 0, 1);
  C.oacsDirectives.set(words, 0, 1);
  C.oacsVirtualization.set(words, 0, hasSecondaries(context) ? 1 : 0);
  C.oacsDbbuf.set(words, 0, controller.hasDoorbellBuffer ? 1 : 0);
  C.acl.set(words, 0, controller.abortLimit);
  C.aerl.set(words, 0, controller.asyncEventLimit);
  C.kas.set(words, 0, 1);
  C.edstt.set(words, 0, Math.max(1, Math.ceil(firmware.selfTestExtendedNs / minuteNs)));
}

function writeFirmwareAndLogs(context: AdminContext, words: Uint32Array): void {
  const { controller, firmware } = context.profile;
  C.frmwSlots.set(words, 0, controller.firmwareSlots);
  C.frmwWithoutReset.set(words, 0, 1);
  C.frmwSmud.set(words, 0, 1);
  C.mtfa.set(words, 0, Math.ceil(firmware.activateNs / tenthNs));
  C.fwug.set(words, 0, firmwareGranularityBytes / 4096);
  C.lpaEffects.set(words, 0, 1);
  C.lpaExtended.set(words, 0, 1);
  C.lpaTelemetry.set(words, 0, 1);
  C.lpaSupportedPages.set(words, 0, 1);
  C.elpe.set(words, 0, controller.errorLogEntries);
}

function writeThermalAndPower(context: AdminContext, words: Uint32Array): void {
  C.npss.set(words, 0, powerStates.length);
  C.apsta.set(words, 0, 1);
  C.wctemp.set(words, 0, warningKelvin);
  C.cctemp.set(words, 0, criticalKelvin);
  C.hctma.set(words, 0, 1);
  C.mntmt.set(words, 0, managedKelvin.least);
  C.mxtmt.set(words, 0, managedKelvin.most);
  for (const [index, state] of powerStates.entries()) {
    writePowerState(words, C.psd.at(0, index), state);
  }
  C.sanicapCrypto.set(words, 0, 1);
  C.sanicapBlock.set(words, 0, 1);
  C.sanicapOverwrite.set(words, 0, 1);
  C.sanicapNdi.set(words, 0, 1);
  C.sanicapNodmmas.set(words, 0, 1);
  const { subsystem } = context.profile;
  C.nwpcWriteProtect.set(words, 0, 1);
  C.nwpcUntilPower.set(words, 0, 1);
  C.nwpcPermanent.set(words, 0, 1);
  C.oncsReservations.set(words, 0, subsystem.hasReservations ? 1 : 0);
}

function writeCapacities(context: AdminContext, words: Uint32Array): void {
  const { subsystem, profile } = context;
  C.tnvmcap.setCount(words, 0, BigInt(profile.subsystem.capacityBytes));
  C.unvmcap.setCount(words, 0, BigInt(subsystem.unallocatedBytes));
  C.megcap.setCount(words, 0, BigInt(profile.subsystem.capacityBytes));
  C.nsetidmax.set(words, 0, onlyGroup);
  C.endgidmax.set(words, 0, onlyGroup);
  C.anatt.set(words, 0, anaTransitionSeconds);
  for (const field of [
    C.anacapOptimized,
    C.anacapNonOptimized,
    C.anacapInaccessible,
    C.anacapPersistentLoss,
    C.anacapChange,
    C.anacapFixedGroup,
  ]) {
    field.set(words, 0, 1);
  }
  C.anagrpmax.set(words, 0, onlyGroup);
  C.nanagrpid.set(words, 0, 1);
  C.nn.set(words, 0, profile.subsystem.maxNamespaces);
  C.mnan.set(words, 0, profile.subsystem.maxNamespaces);
}

const anaTransitionSeconds = 10; // guess

function writeCommandSupport(context: AdminContext, words: Uint32Array): void {
  const { profile } = context;
  C.sqesRequired.set(words, 0, commandSizeExponent);
  C.sqesMaximum.set(words, 0, commandSizeExponent);
  C.cqesRequired.set(words, 0, completionSizeExponent);
  C.cqesMaximum.set(words, 0, completionSizeExponent);
  C.maxcmd.set(words, 0, Math.min(profile.controller.queueEntries, 0xffff));
  for (const field of [
    C.oncsCompare,
    C.oncsWriteUncorrectable,
    C.oncsDatasetManagement,
    C.oncsWriteZeroes,
    C.oncsSaveSelect,
    C.oncsTimestamp,
    C.oncsVerify,
    C.oncsCopy,
    C.fuses,
    C.fnaCryptoErase,
  ]) {
    field.set(words, 0, 1);
  }
  C.vwcPresent.set(words, 0, profile.cache.isVolatile ? 1 : 0);
  C.vwcFlush.set(words, 0, FlushBroadcast.supported);
  C.awun.set(words, 0, profile.subsystem.atomicBlocks);
  C.awupf.set(words, 0, profile.subsystem.atomicPowerFailBlocks);
  C.acwu.set(words, 0, profile.subsystem.atomicBlocks);
  C.cdfs.set(words, 0, 1);
  if (!profile.controller.hasSgl) return;
  C.sglsSupport.set(words, 0, 1);
  C.sglsBitBucket.set(words, 0, 1);
  C.sglsMetadataPointer.set(words, 0, 1);
  C.sglsExcessLength.set(words, 0, 1);
  C.sglsMetadataSgl.set(words, 0, 1);
}

/** CNS 06h for the NVM command set: what moves no data has no limits, as the I/O set carries it. */
export function writeControllerNvm(words: Uint32Array): void {
  const N = IdentifyControllerNvm;
  N.vsl.set(words, 0, 0);
  N.wzsl.set(words, 0, 0);
  N.wusl.set(words, 0, 0);
  N.dmrl.set(words, 0, 0);
}

/** Virtualization Management is the primary controller's. */
export function hasSecondaries(context: AdminContext): boolean {
  const { secondaries } = context.subsystem;
  return secondaries.list.length > 0 && secondaries.find(context.controllerId) === undefined;
}

function pageBytes(context: AdminContext): number {
  return context.profile.controller.pageBytesMin;
}

function powerOfTwo(units: number): number {
  return Math.floor(Math.log2(units));
}

function toMicroseconds(ns: number): number {
  return Math.ceil(ns / 1_000);
}

function hex4(value: number): string {
  return value.toString(16).padStart(4, '0');
}
