import {
  DirectiveOperation,
  DirectiveReceive,
  DirectiveSend,
  DirectiveType,
} from '../../../sdk/spec/nvme/admin-command.js';
import { Sqe } from '../../../sdk/spec/nvme/command.js';
import {
  DirectiveParameters,
  StreamsAllocated,
  StreamsParameters,
  StreamsStatus,
} from '../../../sdk/spec/nvme/directives.js';
import { Nsid } from '../../../sdk/spec/nvme/identify.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import type { Command } from '../command.js';
import { streamLimit } from '../streams.js';
import type { AdminContext } from './context.js';

/** [NVMe-2.0 §5.10 Directive Receive] */
export function receiveDirective(context: AdminContext, command: Command): number {
  const { words, nsid } = command;
  const operation = DirectiveReceive.doper.get(words, 0);
  const bytes = DirectiveReceive.numd.get(words, 0) * 4;
  const isWhole = nsid === Nsid.broadcast;
  const status = isWhole ? 0 : checkNamespace(context, nsid);
  if (status !== 0) return context.refuse(status, Sqe.nsid);
  switch (DirectiveReceive.dtype.get(words, 0)) {
    case DirectiveType.identify:
      if (operation !== DirectiveOperation.identifyReturnParameters || isWhole) {
        return context.refuse(Status.invalidField, DirectiveReceive.doper);
      }
      return send(context, command, { page: identifyParameters(context, nsid), bytes });
    case DirectiveType.streams:
      return receiveStreams(context, command, operation, bytes);
    default:
      return context.refuse(Status.invalidField, DirectiveReceive.dtype);
  }
}

function receiveStreams(
  context: AdminContext,
  command: Command,
  operation: number,
  bytes: number,
): number {
  const { nsid } = command;
  const isWhole = nsid === Nsid.broadcast;
  if (operation === DirectiveOperation.streamsReturnParameters) {
    return send(context, command, { page: streamsParameters(context, nsid), bytes });
  }
  // The others need the directive to be enabled for one namespace.
  if (isWhole || !context.streams.isEnabled(nsid)) {
    return context.refuse(Status.invalidField, isWhole ? Sqe.nsid : DirectiveReceive.dtype);
  }
  if (operation === DirectiveOperation.streamsGetStatus) {
    return send(context, command, { page: streamsStatus(context, nsid), bytes });
  }
  if (operation !== DirectiveOperation.streamsAllocateResources) {
    return context.refuse(Status.invalidField, DirectiveReceive.doper);
  }
  const asked = DirectiveReceive.nsr.get(command.words, 0);
  if (asked === 0 || context.streams.reservedBy(nsid) > 0) {
    return context.refuse(Status.invalidField, DirectiveReceive.nsr);
  }
  const granted = context.streams.reserve(nsid, asked);
  if (granted === 0) return Status.streamResourceAllocationFailed;
  command.dw0 = StreamsAllocated.nsa.put(0, granted);
  return 0;
}

/** [NVMe-2.0 §5.11 Directive Send] */
export function sendDirective(context: AdminContext, command: Command): number {
  const { words, nsid } = command;
  const operation = DirectiveSend.doper.get(words, 0);
  const status = checkNamespace(context, nsid);
  if (status !== 0) return context.refuse(status, Sqe.nsid);
  switch (DirectiveSend.dtype.get(words, 0)) {
    case DirectiveType.identify:
      if (operation !== DirectiveOperation.identifyEnable) {
        return context.refuse(Status.invalidField, DirectiveSend.doper);
      }
      return enable(context, command);
    case DirectiveType.streams:
      return sendStreams(context, command, operation);
    default:
      return context.refuse(Status.invalidField, DirectiveSend.dtype);
  }
}

/** The Identify directive itself is always enabled. */
function enable(context: AdminContext, command: Command): number {
  const { words, nsid } = command;
  if (DirectiveSend.tdtype.get(words, 0) !== DirectiveType.streams) {
    return context.refuse(Status.invalidField, DirectiveSend.tdtype);
  }
  context.streams.enable(nsid, DirectiveSend.endir.get(words, 0) === 1);
  return 0;
}

function sendStreams(context: AdminContext, command: Command, operation: number): number {
  const { nsid } = command;
  const { streams } = context;
  if (!streams.isEnabled(nsid)) return context.refuse(Status.invalidField, DirectiveSend.dtype);
  if (operation === DirectiveOperation.streamsReleaseIdentifier) {
    streams.close(nsid, DirectiveSend.dspec.get(command.words, 0));
    return 0;
  }
  if (operation === DirectiveOperation.streamsReleaseResources) {
    streams.release(nsid);
    return 0;
  }
  return context.refuse(Status.invalidField, DirectiveSend.doper);
}

function checkNamespace(context: AdminContext, nsid: number): number {
  if (!context.subsystem.isValidNsid(nsid)) return Status.invalidNamespaceOrFormat;
  const namespace = context.subsystem.active(nsid, context.controllerId);
  return namespace === undefined ? Status.invalidField : 0;
}

function identifyParameters(context: AdminContext, nsid: number): Uint32Array {
  const words = new Uint32Array(DirectiveParameters.layout.bytes / 4);
  DirectiveParameters.identifySupported.set(words, 0, 1);
  DirectiveParameters.streamsSupported.set(words, 0, 1);
  DirectiveParameters.identifyEnabled.set(words, 0, 1);
  DirectiveParameters.streamsEnabled.set(words, 0, context.streams.isEnabled(nsid) ? 1 : 0);
  return words;
}

function streamsParameters(context: AdminContext, nsid: number): Uint32Array {
  const words = new Uint32Array(StreamsParameters.layout.bytes / 4);
  const { streams } = context;
  const P = StreamsParameters;
  P.msl.set(words, 0, streamLimit);
  P.nssa.set(words, 0, streams.available);
  P.nsso.set(words, 0, streams.openCount);
  const namespace = context.subsystem.namespace(nsid);
  if (namespace === undefined) return words;
  P.sws.set(words, 0, Math.max(1, streamWriteBytes / namespace.dataBytes));
  P.sgs.set(words, 0, streamGranularity);
  P.nsa.set(words, 0, streams.reservedBy(nsid));
  P.nso.set(words, 0, streams.openOf(nsid).length);
  return words;
}

/** A stream is best written in these pieces, and freed in these multiples of them. */
const streamWriteBytes = 64 * 1024; // guess
const streamGranularity = 256; // guess

function streamsStatus(context: AdminContext, nsid: number): Uint32Array {
  const words = new Uint32Array(StreamsStatus.layout.bytes / 4);
  const open = context.streams.openOf(nsid);
  const { first, second } = StreamsStatus.pairs.item;
  for (const [index, value] of [open.length, ...open].entries()) {
    const field = index % 2 === 0 ? first : second;
    field.set(words, StreamsStatus.pairs.at(0, Math.floor(index / 2)), value);
  }
  return words;
}

/** As much as the host has room for; beyond the structure there are zeroes. */
function send(
  context: AdminContext,
  command: Command,
  reply: { readonly page: Uint32Array; readonly bytes: number },
): number {
  const { page, bytes } = reply;
  if (bytes > context.profile.controller.maxTransferBytes) {
    return context.refuse(Status.invalidField, DirectiveReceive.numd);
  }
  const data = new Uint8Array(bytes);
  data.set(new Uint8Array(page.buffer).subarray(0, bytes));
  return context.sendBytes(command, data, 0, bytes);
}
