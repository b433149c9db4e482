import { GetLogPage, logDwords } from '../../../sdk/spec/nvme/admin-command.js';
import { Sqe } from '../../../sdk/spec/nvme/command.js';
import { Nsid } from '../../../sdk/spec/nvme/identify.js';
import { LogPage, SupportedPage, SupportedPagesLog } from '../../../sdk/spec/nvme/logs.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import { QosLogPage } from '../../../sdk/spec/ultima/qos.js';
import type { Command } from '../command.js';
import type { AdminContext } from './context.js';
import type { LogSource } from './log-source.js';
import { effectsLog, featureEffectsLog, miEffectsLog } from './logs-effects.js';
import * as health from './logs-health.js';
import * as operations from './logs-operations.js';
import { qosCapabilitiesLog, qosCountersLog, qosHistoryLog } from './logs-qos.js';

/** [NVMe-2.0 §5.16 Get Log Page] */
export function getLogPage(context: AdminContext, command: Command): number {
  const { words, nsid } = command;
  const lid = GetLogPage.lid.get(words, 0);
  const source = sourceOf(context, lid);
  if (source === undefined) return context.refuse(Status.invalidLogPage, GetLogPage.lid);
  // No page of this card belongs to one namespace.
  if (nsid !== Nsid.none && nsid !== Nsid.broadcast) {
    return context.refuse(Status.invalidField, Sqe.nsid);
  }
  if (GetLogPage.ot.get(words, 0) === 1) return context.refuse(Status.invalidField, GetLogPage.ot);
  if (context.subsystem.mediaStatus !== 0 && source.isHeldBySanitize === true) {
    return context.refuse(context.subsystem.mediaStatus, GetLogPage.lid);
  }
  const offset = GetLogPage.lpo.get(words, 0);
  const length = logDwords(words, 0) * 4;
  const unit = source.unitBytes ?? 4;
  if (offset % unit !== 0) return context.refuse(Status.invalidField, GetLogPage.lpo);
  if (length % unit !== 0) return context.refuse(Status.invalidField, GetLogPage.numdl);
  if (length > context.profile.controller.maxTransferBytes) {
    return context.refuse(Status.invalidField, GetLogPage.numdl);
  }
  const page = source.build(context, command);
  if (typeof page === 'number') return page;
  if (offset > page.length) return context.refuse(Status.invalidField, GetLogPage.lpo);
  const data = new Uint8Array(length);
  data.set(page.subarray(offset, offset + length));
  const status = context.sendBytes(command, data, 0, length);
  if (status !== 0 || GetLogPage.rae.get(words, 0) === 1) return status;
  source.wasRead?.(context);
  context.events.clear(lid);
  return 0;
}

function supportedPages(context: AdminContext): Uint8Array {
  const words = new Uint32Array(SupportedPagesLog.layout.bytes / 4);
  for (const lid of logSources.keys()) {
    if (sourceOf(context, lid) === undefined) continue;
    SupportedPage.lsupp.set(words, SupportedPagesLog.pages.at(0, lid), 1);
  }
  return new Uint8Array(words.buffer);
}

function sourceOf(context: AdminContext, lid: number): LogSource | undefined {
  const source = logSources.get(lid);
  return source?.isThere?.(context) === false ? undefined : source;
}

const logSources: ReadonlyMap<number, LogSource> = new Map<number, LogSource>([
  [LogPage.supportedPages, { build: supportedPages }],
  [LogPage.error, { build: health.errorLog }],
  [LogPage.health, { build: health.healthLog }],
  [LogPage.firmwareSlot, { build: operations.firmwareSlotLog }],
  [LogPage.changedNamespaces, operations.changedNamespaces],
  [LogPage.effects, { build: effectsLog }],
  [LogPage.selfTest, { build: health.selfTestLog, isHeldBySanitize: true }],
  [LogPage.telemetryHost, operations.telemetryHost],
  [LogPage.telemetryController, operations.telemetryController],
  [LogPage.enduranceGroup, { build: health.enduranceGroupLog }],
  [LogPage.ana, { build: operations.anaLog }],
  [LogPage.enduranceAggregate, { build: health.enduranceAggregateLog }],
  [LogPage.featureEffects, { build: featureEffectsLog }],
  [LogPage.miEffects, { build: miEffectsLog }],
  [LogPage.reservation, operations.reservationLog],
  [LogPage.sanitize, { build: operations.sanitizeLog }],
  [QosLogPage.capabilities, qosCapabilitiesLog],
  [QosLogPage.counters, qosCountersLog],
  [QosLogPage.history, qosHistoryLog],
]);
