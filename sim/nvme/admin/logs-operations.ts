import { reservationPage } from '../../../sdk/reservations/notice-log.js';
import { GetLogPage } from '../../../sdk/spec/nvme/admin-command.js';
import { Nsid } from '../../../sdk/spec/nvme/identify.js';
import {
  AnaGroup,
  AnaLog,
  ChangedNamespaceLog,
  FirmwareSlotLog,
  LogPage,
  noEstimate,
  SanitizeLog,
  TelemetryLog,
  telemetryBlockBytes,
} from '../../../sdk/spec/nvme/logs.js';
import { secondNs } from '../../../sdk/units.js';
import type { Command } from '../command.js';
import { SanitizeMethod } from '../sanitizer.js';
import { onlyGroup } from '../subsystem.js';
import type { AdminContext } from './context.js';
import type { LogSource } from './log-source.js';
import { telemetryAreas } from './telemetry-data.js';
import { telemetryFacts } from './telemetry-facts.js';

/** 03h. */
export function firmwareSlotLog(context: AdminContext): Uint8Array {
  const words = new Uint32Array(FirmwareSlotLog.layout.bytes / 4);
  const F = FirmwareSlotLog;
  const { firmware } = context.subsystem;
  F.active.set(words, 0, firmware.running);
  F.next.set(words, 0, firmware.next);
  const revisions = [F.frs1, F.frs2, F.frs3, F.frs4, F.frs5, F.frs6, F.frs7];
  for (const [index, field] of revisions.entries()) {
    const slot = index + 1;
    const isThere = slot <= firmware.count && !firmware.isEmpty(slot);
    if (isThere) field.setText(words, 0, firmware.revisionOf(slot));
  }
  return new Uint8Array(words.buffer);
}

/** 04h: read once, then empty again. */
export const changedNamespaces: LogSource = {
  build: ({ changedNamespaces: changed }) => {
    const words = new Uint32Array(ChangedNamespaceLog.layout.bytes / 4);
    if (changed.size > ChangedNamespaceLog.entries.count) words[0] = Nsid.broadcast;
    else words.set([...changed].sort((a, b) => a - b));
    return new Uint8Array(words.buffer);
  },
  wasRead: (context) => context.changedNamespaces.clear(),
};

/** LSP of the telemetry page: capture now [NVMe-2.0 §5.16.1.8 Telemetry Host-Initiated]. */
const captureNow = 1;

/** 07h: with the create bit, what the controller knows now is captured first. */
export const telemetryHost: LogSource = {
  unitBytes: telemetryBlockBytes,
  isHeldBySanitize: true,
  build: (context, command) => {
    const { telemetry } = context;
    if (GetLogPage.lsp.get(command.words, 0) % 2 === captureNow) {
      telemetry.captureForHost(telemetryFacts(context));
    }
    return telemetryPage(context, LogPage.telemetryHost, telemetry.host);
  },
};

/** 08h: what was captured when something went wrong. */
export const telemetryController: LogSource = {
  unitBytes: telemetryBlockBytes,
  isHeldBySanitize: true,
  build: (context) =>
    telemetryPage(context, LogPage.telemetryController, context.telemetry.controller),
  wasRead: ({ telemetry }) => {
    telemetry.isControllerAvailable = false;
  },
};

function telemetryPage(context: AdminContext, lid: number, areas: Uint8Array | null): Uint8Array {
  const T = TelemetryLog;
  const { telemetry } = context;
  const words = new Uint32Array((T.layout.bytes + (areas?.length ?? 0)) / 4);
  const bytes = new Uint8Array(words.buffer);
  T.lid.set(words, 0, lid);
  T.ieee.set(words, 0, context.profile.identity.ieeeOui);
  if (areas !== null) {
    T.area1.set(words, 0, telemetryAreas.area1);
    T.area2.set(words, 0, telemetryAreas.area2);
    T.area3.set(words, 0, telemetryAreas.area3);
    bytes.set(areas, T.layout.bytes);
  }
  if (lid === LogPage.telemetryHost) T.hostGeneration.set(words, 0, telemetry.hostGeneration);
  T.controllerAvailable.set(words, 0, telemetry.isControllerAvailable ? 1 : 0);
  T.controllerGeneration.set(words, 0, telemetry.controllerGeneration);
  T.reason.bytes(words, 0)[0] = telemetry.reason;
  return bytes;
}

/** LSP of the ANA page: Return Groups Only. */
const groupsOnly = 1;

/** 0Ch: the one group with the attached namespaces. */
export function anaLog(context: AdminContext, command: Command): Uint8Array {
  const { subsystem, controllerId } = context;
  const isShort = GetLogPage.lsp.get(command.words, 0) % 2 === groupsOnly;
  const nsids = subsystem.namespaces
    .filter((namespace) => namespace.attached.has(controllerId))
    .map((namespace) => namespace.nsid);
  const shown = isShort ? [] : nsids;
  const headWords = AnaLog.layout.bytes / 4;
  const groupWords = AnaGroup.layout.bytes / 4;
  const words = new Uint32Array(headWords + groupWords + shown.length);
  AnaLog.changeCount.set(words, 0, subsystem.anaChanges);
  AnaLog.groups.set(words, 0, 1);
  AnaGroup.id.set(words, headWords, onlyGroup);
  AnaGroup.namespaces.set(words, headWords, shown.length);
  AnaGroup.changeCount.set(words, headWords, subsystem.anaChanges);
  AnaGroup.state.set(words, headWords, subsystem.anaState(onlyGroup));
  words.set(shown, headWords + groupWords);
  return new Uint8Array(words.buffer);
}

/** 80h: one notification for each read. */
export const reservationLog: LogSource = {
  isThere: ({ profile }) => profile.subsystem.hasReservations,
  build: ({ reservationLog: log }) => reservationPage(log),
  wasRead: ({ reservationLog: log }) => log.takeFirst(),
};

/** 81h. */
export function sanitizeLog(context: AdminContext): Uint8Array {
  const words = new Uint32Array(SanitizeLog.layout.bytes / 4);
  const S = SanitizeLog;
  const { sanitizer } = context.subsystem;
  S.progress.set(words, 0, sanitizer.progress);
  S.status.set(words, 0, sanitizer.status);
  S.passes.set(words, 0, sanitizer.completedPasses);
  S.erased.set(words, 0, context.subsystem.isErased ? 1 : 0);
  S.cdw10.set(words, 0, sanitizer.request?.cdw10 ?? 0);
  const seconds = (method: number) => Math.ceil(sanitizer.timeOf(method) / secondNs);
  S.overwriteTime.set(words, 0, seconds(SanitizeMethod.overwrite));
  S.blockTime.set(words, 0, seconds(SanitizeMethod.block));
  S.cryptoTime.set(words, 0, seconds(SanitizeMethod.crypto));
  S.overwriteTimeNoDeallocate.set(words, 0, noEstimate);
  S.blockTimeNoDeallocate.set(words, 0, noEstimate);
  S.cryptoTimeNoDeallocate.set(words, 0, noEstimate);
  return new Uint8Array(words.buffer);
}
