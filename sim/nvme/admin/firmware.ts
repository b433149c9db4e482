import {
  CommitAction,
  FirmwareDownload as DownloadCommand,
  FirmwareCommit,
} from '../../../sdk/spec/nvme/admin-command.js';
import { EventFeature } from '../../../sdk/spec/nvme/features.js';
import { LogPage } from '../../../sdk/spec/nvme/logs.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import { ActivationNeeds } from '../../../sdk/spec/ultima/firmware.js';
import type { Command } from '../command.js';
import { type AdminContext, held } from './context.js';
import { ErrorEvent, EventType, Notice } from './events.js';
import { wantsEvents } from './features-controller.js';
import { firmwareGranularityBytes, firmwareImageMaximum } from './firmware-download.js';

/** [NVMe-2.0 §5.13 Firmware Image Download] */
export function downloadFirmware(context: AdminContext, command: Command): number {
  const length = DownloadCommand.numd.get(command.words, 0) * 4;
  const first = DownloadCommand.ofst.get(command.words, 0) * 4;
  if (length % firmwareGranularityBytes !== 0) {
    return context.refuse(Status.invalidField, DownloadCommand.numd);
  }
  if (first % firmwareGranularityBytes !== 0 || first + length > firmwareImageMaximum) {
    return context.refuse(Status.invalidField, DownloadCommand.ofst);
  }
  const { download } = context;
  // A host that starts over starts at 0; any other overlap is a mistake.
  if (first === 0) download.clear();
  if (download.overlaps(first, length)) {
    return context.refuse(Status.overlappingRange, DownloadCommand.ofst);
  }
  const piece = new Uint8Array(length);
  const status = context.receive(command, piece, length);
  if (status === 0) download.add(first, piece);
  return status;
}

/** [NVMe-2.0 §5.12 Firmware Commit] */
export function commitFirmware(context: AdminContext, command: Command): number {
  const { firmware } = context.subsystem;
  const action = FirmwareCommit.ca.get(command.words, 0);
  const asked = FirmwareCommit.fs.get(command.words, 0);
  if (action > CommitAction['activate now']) {
    return context.refuse(Status.invalidField, FirmwareCommit.ca);
  }
  const isActivation = action === CommitAction['activate at reset'];
  if (asked > firmware.count || (isActivation && asked === 0)) {
    return context.refuse(Status.invalidFirmwareSlot, FirmwareCommit.fs);
  }
  const slot = asked === 0 ? firmware.choose() : asked;
  if (!isActivation) {
    const status = replace(context, slot, action);
    if (status !== 0) return status;
  }
  if (firmware.isEmpty(slot)) return Status.invalidFirmwareImage;
  switch (action) {
    case CommitAction.replace:
      return 0;
    case CommitAction['activate now']:
      return activateNow(context, command, slot);
    default:
      firmware.activateAtReset(slot);
      return adviceAtReset(firmware.needsOf(slot));
  }
}

/** Put the downloaded image into a slot. Activating at once also works with what the slot holds. */
function replace(context: AdminContext, slot: number, action: number): number {
  const { download, subsystem } = context;
  if (download.isEmpty && action === CommitAction['activate now']) return 0;
  const { image } = download;
  const status =
    image === null ? Status.invalidFirmwareImage : subsystem.firmware.store(slot, image);
  download.clear();
  if (status !== 0) {
    context.events.post(EventType.error, ErrorEvent.firmwareLoad, LogPage.error);
  }
  return status;
}

function activateNow(context: AdminContext, command: Command, slot: number): number {
  const { firmware } = context.subsystem;
  const needs = firmware.needsOf(slot);
  if (needs !== ActivationNeeds.nothing) {
    firmware.activateAtReset(slot);
    return needs === ActivationNeeds.controllerReset
      ? Status.firmwareNeedsControllerReset
      : adviceAtReset(needs);
  }
  if (EventFeature.firmware.of(wantsEvents(context)) === 1) {
    context.events.post(EventType.notice, Notice.firmwareActivation, LogPage.firmwareSlot);
  }
  command.scratch0 = slot;
  context.services.delay(command, context.profile.firmware.activateNs);
  return held;
}

/** The time of an activation without reset is over. */
export function finishActivation(context: AdminContext, command: Command): number {
  context.subsystem.firmware.activateNow(command.scratch0);
  return 0;
}

/** Which reset the host must make, when a reset of the controller is not enough. */
export function adviceAtReset(needs: number): number {
  if (needs === ActivationNeeds.subsystemReset) return Status.firmwareNeedsSubsystemReset;
  if (needs === ActivationNeeds.conventionalReset) return Status.firmwareNeedsConventionalReset;
  return 0;
}
