import type { DmaRegion } from '../device.js';
import * as table from '../spec/nvme/admin-command.js';
import { broadcastNsid } from '../spec/nvme/command.js';
import {
  Cns,
  ControllerList,
  controllerListMaximum,
  identifyBytes,
} from '../spec/nvme/identify.js';
import { LogPage, sanitizeProgressSpan } from '../spec/nvme/logs.js';
import { AdminOpcode, directionOf } from '../spec/nvme/opcodes.js';
import { secondNs } from '../units.js';
import {
  type DirectiveOptions,
  type NewNamespace,
  newNamespacePage,
  putDirective,
  putSecurity,
  type SecurityOptions,
} from './admin-data.js';
import { type CommandResult, command, type ExecuteOptions } from './admin-queue.js';
import {
  type ControllerIdentity,
  controllerIdentity,
  type ErrorRecord,
  errorRecordsOf,
  type FirmwareSlots,
  firmwareSlotsOf,
  type Health,
  healthOf,
  type SanitizeState,
  type SelfTestState,
  sanitizeOf,
  selfTestOf,
} from './admin-results.js';
import type { Core } from './core.js';
import { Procedure, type Steps } from './procedure.js';
import { abort } from './recovery.js';

export interface IdentifyOptions {
  readonly nsid?: number;
  readonly controllerId?: number;
  /** CNS specific identifier: an NVM set, a domain, an endurance group. */
  readonly specificId?: number;
  readonly commandSet?: number;
  readonly uuidIndex?: number;
}

export interface FeatureOptions {
  readonly nsid?: number;
  readonly select?: keyof typeof table.FeatureSelect;
  readonly cdw11?: number;
  /** Bytes of the feature's data structure, 0 for features of one dword. */
  readonly dataBytes?: number;
}

export interface FeatureValue {
  /** Dword 0 of the completion: the feature of one dword. */
  readonly value: number;
  /** The data structure of features that have one. */
  readonly words: Uint32Array;
}

export interface SetFeatureOptions {
  readonly nsid?: number;
  /** Keep the value over power cycles. */
  readonly isSaved?: boolean;
  readonly cdw12?: number;
  readonly cdw13?: number;
  readonly cdw15?: number;
  readonly data?: Uint8Array;
}

export interface LogOptions {
  readonly nsid?: number;
  readonly offset?: number;
  readonly specificParameter?: number;
  readonly specificId?: number;
  /** Do not clear the asynchronous event that pointed here. */
  readonly retainsEvent?: boolean;
  readonly commandSet?: number;
  readonly uuidIndex?: number;
}

export interface FormatOptions {
  readonly formatIndex: number;
  readonly erase?: keyof typeof table.SecureErase;
  readonly isExtended?: boolean;
  readonly protectionType?: number;
  readonly isProtectionFirst?: boolean;
  readonly timeoutNs?: number;
}

/** Nothing longer than this goes out in one Get Log Page or Firmware Image Download. */
const pieceBytes = 4096;

/** Format, sanitize and firmware activation take their time. */
const patientNs = 600 * secondNs;

/**
 * Admin commands of one controller, each with a typed result. A command that fails rejects with
 * COMMAND_FAILED and its status; `raw` returns any status as it is.
 */
export class Admin {
  private readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  /**
   * Any command, as it stands. Its data moves as the opcode says: bit 0 to the controller, bit 1 to
   * the host.
   *
   * @param words  16 dwords; command identifier and data pointer are filled in
   * @param data   sent, and overwritten with what came back
   */
  async raw(
    words: Uint32Array,
    data: Uint8Array | null = null,
    options: { readonly timeoutNs?: number } = {},
  ): Promise<CommandResult> {
    const how = { ...options, allowsFailure: true };
    if (data === null) return this.run(this.queue().execute(words, how));
    const fill = (region: DmaRegion) => region.bytes.set(data);
    const answer = await this.run(this.queue().exchange(words, data.length, how, fill));
    const direction = directionOf(words[0]!);
    if (direction === 'to host' || direction === 'both') {
      const bytes = new Uint8Array(answer.words.buffer, 0, data.length);
      data.set(bytes);
    }
    return answer.result;
  }

  /** Any Identify page, 4096 bytes. @param cns  see `Cns` of `spec` */
  async identify(cns: number, options: IdentifyOptions = {}): Promise<Uint32Array> {
    const words = command(AdminOpcode.identify, options.nsid ?? 0);
    table.Identify.cns.set(words, 0, cns);
    table.Identify.cntid.set(words, 0, options.controllerId ?? 0);
    table.Identify.cnssid.set(words, 0, options.specificId ?? 0);
    table.Identify.csi.set(words, 0, options.commandSet ?? 0);
    table.Identify.uuidx.set(words, 0, options.uuidIndex ?? 0);
    return this.get(words, identifyBytes);
  }

  async identifyController(): Promise<ControllerIdentity> {
    return controllerIdentity(await this.identify(Cns.controller));
  }

  async identifyNamespace(nsid: number): Promise<Uint32Array> {
    return this.identify(Cns.namespace, { nsid });
  }

  /** Controllers attached to a namespace, or of the subsystem when it is left out. */
  async controllers(nsid?: number): Promise<readonly number[]> {
    const cns = nsid === undefined ? Cns.controllers : Cns.controllersOfNamespace;
    const page = await this.identify(cns, nsid === undefined ? {} : { nsid });
    // The count comes from the device: no more than what fits is believed.
    const count = Math.min(ControllerList.count.get(page, 0), controllerListMaximum);
    const bytes = ControllerList.identifiers.bytes(page, 0);
    return Array.from({ length: count }, (_, i) => bytes[2 * i]! + 256 * bytes[2 * i + 1]!);
  }

  /** @param fid  see `Feature` of `spec` */
  async getFeature(fid: number, options: FeatureOptions = {}): Promise<FeatureValue> {
    const words = command(AdminOpcode.getFeatures, options.nsid ?? 0);
    table.GetFeatures.fid.set(words, 0, fid);
    table.GetFeatures.sel.set(words, 0, table.FeatureSelect[options.select ?? 'current']);
    table.GetFeatures.cdw11.set(words, 0, options.cdw11 ?? 0);
    const bytes = options.dataBytes ?? 0;
    if (bytes === 0) {
      const { dw0 } = await this.run(this.queue().execute(words));
      return { value: dw0, words: new Uint32Array(0) };
    }
    const answer = await this.run(this.queue().exchange(words, bytes));
    return { value: answer.result.dw0, words: answer.words };
  }

  /** @returns dword 0 of the completion */
  async setFeature(fid: number, value: number, options: SetFeatureOptions = {}): Promise<number> {
    const words = command(AdminOpcode.setFeatures, options.nsid ?? 0);
    table.SetFeatures.fid.set(words, 0, fid);
    table.SetFeatures.sv.set(words, 0, options.isSaved === true ? 1 : 0);
    table.SetFeatures.value.set(words, 0, value);
    table.SetFeatures.cdw12.set(words, 0, options.cdw12 ?? 0);
    table.SetFeatures.cdw13.set(words, 0, options.cdw13 ?? 0);
    table.SetFeatures.cdw15.set(words, 0, options.cdw15 ?? 0);
    const { data } = options;
    if (data !== undefined) return (await this.put(words, data)).dw0;
    return (await this.run(this.queue().execute(words))).dw0;
  }

  /**
   * A log page, or a part of it, in pieces of 4 KiB.
   *
   * @param lid    see `LogPage` of `spec`
   * @param bytes  a multiple of 4
   */
  async logPage(lid: number, bytes: number, options: LogOptions = {}): Promise<Uint32Array> {
    if (!Number.isSafeInteger(bytes) || bytes < 4 || bytes % 4 !== 0) {
      throw new RangeError(`${bytes} bytes of a log page; it must be a multiple of 4`);
    }
    const whole = new Uint32Array(bytes / 4);
    for (let done = 0; done < bytes; done += pieceBytes) {
      const length = Math.min(pieceBytes, bytes - done);
      const words = command(AdminOpcode.getLogPage, options.nsid ?? broadcastNsid);
      table.GetLogPage.lid.set(words, 0, lid);
      table.GetLogPage.lsp.set(words, 0, options.specificParameter ?? 0);
      // Only the last piece may clear the event, or the pieces could differ.
      const isLast = done + length === bytes;
      const retains = options.retainsEvent === true || !isLast;
      table.GetLogPage.rae.set(words, 0, retains ? 1 : 0);
      table.setLogDwords(words, 0, length / 4);
      table.GetLogPage.lsi.set(words, 0, options.specificId ?? 0);
      table.GetLogPage.lpo.set(words, 0, (options.offset ?? 0) + done);
      table.GetLogPage.csi.set(words, 0, options.commandSet ?? 0);
      table.GetLogPage.uuidx.set(words, 0, options.uuidIndex ?? 0);
      whole.set(await this.get(words, length), done / 4);
    }
    return whole;
  }

  async health(options: LogOptions = {}): Promise<Health> {
    return healthOf(await this.logPage(LogPage.health, 512, options));
  }

  async firmwareSlots(): Promise<FirmwareSlots> {
    return firmwareSlotsOf(await this.logPage(LogPage.firmwareSlot, 512));
  }

  /** Newest first. @param entries  at most what the controller keeps (ELPE) */
  async errorLog(entries = 16): Promise<readonly ErrorRecord[]> {
    return errorRecordsOf(await this.logPage(LogPage.error, entries * 64));
  }

  async selfTestLog(): Promise<SelfTestState> {
    return selfTestOf(await this.logPage(LogPage.selfTest, 564));
  }

  async sanitizeLog(): Promise<SanitizeState> {
    return sanitizeOf(await this.logPage(LogPage.sanitize, 512), sanitizeProgressSpan);
  }

  /** @returns the identifier that the controller gave */
  async createNamespace(wanted: NewNamespace): Promise<number> {
    const words = command(AdminOpcode.namespaceManagement);
    table.NamespaceManagement.sel.set(words, 0, table.NamespaceManagementSelect.create);
    const page = newNamespacePage(wanted);
    return (await this.put(words, page)).dw0;
  }

  async deleteNamespace(nsid: number): Promise<void> {
    const words = command(AdminOpcode.namespaceManagement, nsid);
    table.NamespaceManagement.sel.set(words, 0, table.NamespaceManagementSelect.delete);
    await this.run(this.queue().execute(words));
  }

  /** @param controllers  identifiers; ascending */
  async attachNamespace(nsid: number, controllers: readonly number[]): Promise<void> {
    await this.attachment('attach', nsid, controllers);
  }

  async detachNamespace(nsid: number, controllers: readonly number[]): Promise<void> {
    await this.attachment('detach', nsid, controllers);
  }

  async format(nsid: number, options: FormatOptions): Promise<void> {
    const words = command(AdminOpcode.formatNvm, nsid);
    table.FormatNvm.lbafl.set(words, 0, options.formatIndex % 16);
    table.FormatNvm.lbafu.set(words, 0, Math.floor(options.formatIndex / 16));
    table.FormatNvm.mset.set(words, 0, options.isExtended === true ? 1 : 0);
    table.FormatNvm.pi.set(words, 0, options.protectionType ?? 0);
    table.FormatNvm.pil.set(words, 0, options.isProtectionFirst === true ? 1 : 0);
    table.FormatNvm.ses.set(words, 0, table.SecureErase[options.erase ?? 'none']);
    await this.patiently(words, options.timeoutNs);
  }

  /** @param image  a multiple of 4 bytes */
  async downloadFirmware(image: Uint8Array): Promise<void> {
    if (image.length === 0 || image.length % 4 !== 0) {
      throw new RangeError(`a firmware image of ${image.length} bytes; it must be a multiple of 4`);
    }
    for (let offset = 0; offset < image.length; offset += pieceBytes) {
      const piece = image.subarray(offset, offset + pieceBytes);
      const words = command(AdminOpcode.firmwareDownload);
      table.FirmwareDownload.numd.set(words, 0, piece.length / 4);
      table.FirmwareDownload.ofst.set(words, 0, offset / 4);
      await this.put(words, piece);
    }
  }

  /** The result tells by its status whether a reset is needed to activate. */
  async commitFirmware(
    slot: number,
    action: keyof typeof table.CommitAction,
  ): Promise<CommandResult> {
    const words = command(AdminOpcode.firmwareCommit);
    table.FirmwareCommit.fs.set(words, 0, slot);
    table.FirmwareCommit.ca.set(words, 0, table.CommitAction[action]);
    const how = { timeoutNs: patientNs, allowsFailure: true };
    return this.run(this.queue().execute(words, how));
  }

  async selfTest(code: keyof typeof table.SelfTestCode, nsid = 0): Promise<void> {
    const words = command(AdminOpcode.deviceSelfTest, nsid);
    table.DeviceSelfTest.stc.set(words, 0, table.SelfTestCode[code]);
    await this.run(this.queue().execute(words));
  }

  /** Start a sanitize operation; `sanitizeLog` tells how far it is. */
  async sanitize(
    action: keyof typeof table.SanitizeAction,
    options: { readonly passes?: number; readonly pattern?: number } = {},
  ): Promise<void> {
    const words = command(AdminOpcode.sanitize);
    table.Sanitize.sanact.set(words, 0, table.SanitizeAction[action]);
    table.Sanitize.owpass.set(words, 0, (options.passes ?? 1) % 16);
    table.Sanitize.ovrpat.set(words, 0, options.pattern ?? 0);
    await this.patiently(words, undefined);
  }

  async securitySend(data: Uint8Array, options: SecurityOptions): Promise<void> {
    const words = command(AdminOpcode.securitySend);
    putSecurity(words, options);
    table.SecuritySend.tl.set(words, 0, data.length);
    await this.put(words, data);
  }

  async securityReceive(bytes: number, options: SecurityOptions): Promise<Uint8Array> {
    const words = command(AdminOpcode.securityReceive);
    putSecurity(words, options);
    table.SecurityReceive.al.set(words, 0, bytes);
    const data = await this.get(words, bytes);
    return new Uint8Array(data.buffer, 0, bytes);
  }

  async directiveSend(options: DirectiveOptions, data: Uint8Array | null = null): Promise<number> {
    const words = command(AdminOpcode.directiveSend, options.nsid);
    putDirective(words, options, data === null ? 4 : data.length);
    if (data !== null) return (await this.put(words, data)).dw0;
    return (await this.run(this.queue().execute(words))).dw0;
  }

  async directiveReceive(options: DirectiveOptions, bytes: number): Promise<Uint32Array> {
    const words = command(AdminOpcode.directiveReceive, options.nsid);
    putDirective(words, options, bytes);
    return this.get(words, bytes);
  }

  /** Resources of secondary controllers. @returns number of resources changed */
  async virtualization(
    action: keyof typeof table.VirtualizationAction,
    options: { controllerId: number; resource?: 'queue' | 'interrupt'; count?: number },
  ): Promise<number> {
    const words = command(AdminOpcode.virtualizationManagement);
    const resource = options.resource === 'interrupt' ? 1 : 0;
    table.VirtualizationManagement.act.set(words, 0, table.VirtualizationAction[action]);
    table.VirtualizationManagement.rt.set(words, 0, resource);
    table.VirtualizationManagement.cntlid.set(words, 0, options.controllerId);
    table.VirtualizationManagement.nr.set(words, 0, options.count ?? 0);
    return (await this.run(this.queue().execute(words))).dw0;
  }

  async keepAlive(): Promise<void> {
    await this.run(this.queue().execute(command(AdminOpcode.keepAlive)));
  }

  /** Abort a command on a queue of this driver's. @returns whether the controller says it has */
  async abort(queueId: number, commandId: number): Promise<boolean> {
    return this.run(abort(this.core, queueId, commandId));
  }

  private async attachment(
    what: keyof typeof table.NamespaceAttachmentSelect,
    nsid: number,
    controllers: readonly number[],
  ): Promise<void> {
    const words = command(AdminOpcode.namespaceAttachment, nsid);
    table.NamespaceAttachment.sel.set(words, 0, table.NamespaceAttachmentSelect[what]);
    const page = new Uint32Array(identifyBytes / 4);
    ControllerList.count.set(page, 0, controllers.length);
    const list = ControllerList.identifiers.bytes(page, 0);
    controllers.forEach((id, index) => {
      list[2 * index] = id % 256;
      list[2 * index + 1] = Math.floor(id / 256);
    });
    await this.put(words, new Uint8Array(page.buffer));
  }

  private queue() {
    this.core.demandReady();
    return this.core.adminQueue();
  }

  private run<T>(steps: Steps<T>): Promise<T> {
    return new Procedure(steps).run((untilNs) => this.core.sleep(untilNs));
  }

  private async get(words: Uint32Array, bytes: number): Promise<Uint32Array> {
    return (await this.run(this.queue().exchange(words, bytes))).words;
  }

  private async put(words: Uint32Array, data: Uint8Array): Promise<CommandResult> {
    const fill = (region: DmaRegion) => region.bytes.set(data);
    const options: ExecuteOptions = { timeoutNs: patientNs };
    return (await this.run(this.queue().exchange(words, data.length, options, fill))).result;
  }

  private async patiently(words: Uint32Array, timeoutNs: number | undefined): Promise<void> {
    await this.run(this.queue().execute(words, { timeoutNs: timeoutNs ?? patientNs }));
  }
}
