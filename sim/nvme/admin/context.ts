import { ReservationLog } from '../../../sdk/reservations/notice-log.js';
import type { Bits, U64 } from '../../../sdk/spec/layout.js';
import { noParameter } from '../../../sdk/spec/nvme/logs.js';
import { doNotRetry, Status, statusKind, withMore } from '../../../sdk/spec/nvme/status.js';
import type { Profile } from '../../profiles/profile.js';
import type { World } from '../../world.js';
import type { Command } from '../command.js';
import type { ControllerRecord } from '../controller-record.js';
import type { ControllerServices } from '../executor.js';
import type { Namespace, NamespaceFormat } from '../namespace.js';
import type { Streams } from '../streams.js';
import type { Subsystem } from '../subsystem.js';
import type { EventQueue } from './events.js';
import type { FeatureStore } from './feature-store.js';
import type { FirmwareDownload } from './firmware-download.js';
import type { HealthWatch } from './health-watch.js';
import type { KeepAliveTimer } from './keep-alive-timer.js';
import type { PowerManager } from './power-manager.js';
import type { SelfTestOperation } from './self-test-operation.js';
import type { TelemetryData } from './telemetry-data.js';
import type { Timestamp } from './timestamp.js';

/** What a handler returns when the command ends later, by itself. */
export const held = -1;

/**
 * An admin command's own code: checks, does, and says how it ended.
 *
 * @returns 0, a status, or `held`
 */
export type AdminHandler = (context: AdminContext, command: Command) => number;

/** A Format NVM that has been accepted and takes its time. */
export interface PendingFormat {
  readonly command: Command;
  readonly namespaces: readonly Namespace[];
  readonly format: NamespaceFormat;
}

/** Parts of an admin command set that keep something from one command to the next. */
export interface AdminParts {
  readonly services: ControllerServices;
  readonly subsystem: Subsystem;
  readonly record: ControllerRecord;
  readonly events: EventQueue;
  readonly features: FeatureStore;
  readonly watch: HealthWatch;
  readonly keepAlive: KeepAliveTimer;
  readonly power: PowerManager;
  readonly timestamp: Timestamp;
  readonly selfTest: SelfTestOperation;
  readonly telemetry: TelemetryData;
  readonly download: FirmwareDownload;
  readonly streams: Streams;
}

/** What the handlers of one controller share. */
export class AdminContext {
  readonly services: ControllerServices;
  readonly subsystem: Subsystem;
  readonly record: ControllerRecord;
  readonly profile: Profile;
  readonly world: World;
  readonly events: EventQueue;
  readonly features: FeatureStore;
  readonly watch: HealthWatch;
  readonly keepAlive: KeepAliveTimer;
  readonly power: PowerManager;
  readonly timestamp: Timestamp;
  readonly selfTest: SelfTestOperation;
  readonly telemetry: TelemetryData;
  readonly download: FirmwareDownload;
  readonly streams: Streams;
  /** Namespaces whose change the host has not read about. */
  readonly changedNamespaces = new Set<number>();
  /** Formats under way, by the slot of their command. */
  readonly formats = new Map<number, PendingFormat>();
  /** Opcodes of all admin commands of this card, ascending. */
  opcodes: readonly number[] = [];
  readonly reservationLog = new ReservationLog();
  /** I/O queues that the host may create. */
  allocatedQueues = { submission: 0, completion: 0 };
  /** One page to build structures in; its content is the last command's. */
  readonly words = new Uint32Array(1024);
  readonly bytes: Uint8Array;
  private faultByte: number = noParameter.byte;
  private faultBit: number = noParameter.bit;
  private faultSpecific = 0;

  constructor(parts: AdminParts) {
    this.services = parts.services;
    this.subsystem = parts.subsystem;
    this.record = parts.record;
    this.profile = parts.subsystem.profile;
    this.world = parts.subsystem.world;
    this.events = parts.events;
    this.features = parts.features;
    this.watch = parts.watch;
    this.keepAlive = parts.keepAlive;
    this.power = parts.power;
    this.timestamp = parts.timestamp;
    this.selfTest = parts.selfTest;
    this.telemetry = parts.telemetry;
    this.download = parts.download;
    this.streams = parts.streams;
    this.bytes = new Uint8Array(this.words.buffer);
  }

  get controllerId(): number {
    return this.record.id;
  }

  /** I/O queue pairs that this controller can have: a secondary one has what it was assigned. */
  get queueLimit(): number {
    const secondary = this.subsystem.secondaries.find(this.controllerId);
    const { queuePairs } = this.profile.controller;
    return secondary === undefined ? queuePairs : Math.max(1, secondary.queues - 1);
  }

  /** Interrupt vectors that this controller can use. */
  get vectorLimit(): number {
    const secondary = this.subsystem.secondaries.find(this.controllerId);
    return secondary?.vectors ?? this.profile.controller.vectors;
  }

  /** Refuse because of one field: the error log will point at it. */
  refuse(status: number, field: Bits | U64): number {
    const low = 'low' in field ? field.low : 0;
    this.faultByte = field.dword * 4 + Math.floor(low / 8);
    this.faultBit = low % 8;
    return status;
  }

  /** For the error log: the command specific information that goes with the status. */
  explain(information: number): void {
    this.faultSpecific = information;
  }

  /** End a command; a failure goes into the error log and carries More and Do Not Retry. */
  end(command: Command, status: number, dw0 = command.dw0, dw1 = 0): void {
    let field = status;
    if (status !== 0 && !advices.has(status)) {
      field = withMore(retryable.has(statusKind(status)) ? status : doNotRetry(status));
      this.record.logError({
        queueId: command.queueId,
        cid: command.cid,
        status: field,
        byte: this.faultByte,
        bit: this.faultBit,
        nsid: command.nsid,
        commandSpecific: this.faultSpecific,
      });
    }
    this.clearFault();
    this.services.complete(command, field, dw0, dw1);
  }

  clearFault(): void {
    this.faultByte = noParameter.byte;
    this.faultBit = noParameter.bit;
    this.faultSpecific = 0;
  }

  /** An empty page to build a structure in. */
  blankPage(): Uint32Array {
    return this.words.fill(0);
  }

  /** Send the first `length` bytes of the page to the host. */
  sendPage(command: Command, length = this.bytes.length): number {
    return this.sendBytes(command, this.bytes, 0, length);
  }

  sendBytes(command: Command, bytes: Uint8Array, from: number, length: number): number {
    if (length > this.profile.controller.maxTransferBytes) return Status.invalidField;
    const status = this.services.mapData(command, length);
    if (status !== 0) return status;
    return this.services.toHost(command, bytes, from, 0, length);
  }

  /** Receive bytes from the host into `target`, from its start. */
  receive(command: Command, target: Uint8Array, length: number): number {
    if (length > this.profile.controller.maxTransferBytes) return Status.invalidField;
    const status = this.services.mapData(command, length);
    if (status !== 0) return status;
    return this.services.fromHost(command, target, 0, 0, length);
  }
}

/** Not failures: the command did its work, and says what is still to be done. */
const advices: ReadonlySet<number> = new Set([
  Status.firmwareNeedsConventionalReset,
  Status.firmwareNeedsControllerReset,
  Status.firmwareNeedsSubsystemReset,
]);

/** The same command may succeed later. */
const retryable: ReadonlySet<number> = new Set([
  Status.abortLimitExceeded,
  Status.asynchronousEventLimitExceeded,
  Status.commandInterrupted,
  Status.dataTransferError,
  Status.formatInProgress,
  Status.internalError,
  Status.namespaceNotReady,
  Status.sanitizeInProgress,
  Status.selfTestInProgress,
]);
