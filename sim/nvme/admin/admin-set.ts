import { Fuse, Psdt, Sqe } from '../../../sdk/spec/nvme/command.js';
import { EventFeature } from '../../../sdk/spec/nvme/features.js';
import { LogPage, SelfTestOutcome } from '../../../sdk/spec/nvme/logs.js';
import { AdminOpcode } from '../../../sdk/spec/nvme/opcodes.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import { QosEvent, QosLogPage } from '../../../sdk/spec/ultima/qos.js';
import type { Checker } from '../../checker.js';
import type { Command } from '../command.js';
import type { ControllerListener, ControllerRecord } from '../controller-record.js';
import type { AdminExecutor, ControllerError, ControllerServices } from '../executor.js';
import { ResetStrength } from '../firmware-slots.js';
import type { Subsystem } from '../subsystem.js';
import { AdminContext, held } from './context.js';
import { EventQueue, EventType, Notice, SpecificEvent } from './events.js';
import { FeatureStore } from './feature-store.js';
import { restoreFeatures } from './features.js';
import { wantsEvents } from './features-controller.js';
import { reservationMask } from './features-namespace.js';
import { hasQos } from './features-qos.js';
import { FirmwareDownload } from './firmware-download.js';
import { type AdminEntry, adminEntries } from './handlers.js';
import { HealthWatch } from './health-watch.js';
import { KeepAliveTimer } from './keep-alive-timer.js';
import { PowerManager } from './power-manager.js';
import { powerStates } from './power-states.js';
import { reservedDwordSet } from './reserved-words.js';
import { SelfTestOperation } from './self-test-operation.js';
import { TelemetryData, TelemetryReason } from './telemetry-data.js';
import { telemetryFacts } from './telemetry-facts.js';
import { Timestamp } from './timestamp.js';

export interface AdminOptions {
  readonly services: ControllerServices;
  readonly subsystem: Subsystem;
  readonly controllerId: number;
  /** Told of reserved fields that are not zero; nobody is when left out. */
  readonly checker?: Checker;
}

/** What `command.step` says: checked and waiting, or its handler has run. */
const Step = { waiting: 0, handled: 1 } as const;

/**
 * The admin command set of one controller. A command is checked when it arrives, waits for the time
 * that the firmware needs for it, and then does what it does at one instant of virtual time.
 */
export class AdminSet implements AdminExecutor, ControllerListener {
  /** For the other parts of the controller: streams, features, the event queue. */
  readonly context: AdminContext;
  private readonly record: ControllerRecord;
  private readonly subsystem: Subsystem;
  private readonly checker: Checker | null;
  private aborts = 0;

  constructor(options: AdminOptions) {
    const { services, subsystem, controllerId } = options;
    const { world, health } = subsystem;
    const events = new EventQueue((command, dw0) => this.context.end(command, 0, dw0));
    this.subsystem = subsystem;
    this.checker = options.checker ?? null;
    this.record = subsystem.controller(controllerId);
    this.context = new AdminContext({
      services,
      subsystem,
      record: this.record,
      events,
      features: new FeatureStore(),
      watch: new HealthWatch(world, health, events),
      keepAlive: new KeepAliveTimer(world, () => this.keepAliveExpired()),
      power: this.powerManager(),
      timestamp: new Timestamp(world),
      selfTest: new SelfTestOperation(world, () => health.powerOnHours),
      telemetry: new TelemetryData(),
      download: new FirmwareDownload(),
      streams: this.record.streams,
    });
    this.record.listener = this;
    const isThere = (opcode: number) => adminEntries.get(opcode)?.isThere?.(this.context) !== false;
    this.context.opcodes = [...adminEntries.keys()].filter(isThere).sort((a, b) => a - b);
  }

  // Executor.

  begin(command: Command): void {
    const { context } = this;
    context.clearFault();
    const entry = adminEntries.get(command.opcode);
    if (entry === undefined || entry.isThere?.(context) === false) {
      context.end(command, context.refuse(Status.invalidOpcode, Sqe.opc));
      return;
    }
    this.reportReserved(command);
    const status = this.check(command, entry);
    if (status !== 0) {
      context.end(command, status);
      return;
    }
    if (command.opcode === AdminOpcode.asynchronousEventRequest) {
      this.run(command, entry);
      return;
    }
    if (command.opcode === AdminOpcode.abort) this.aborts++;
    context.services.delay(command, context.profile.firmware.adminNs);
  }

  finish(command: Command): void {
    const entry = adminEntries.get(command.opcode);
    if (entry === undefined) return;
    this.context.clearFault();
    if (command.step === Step.waiting) this.run(command, entry);
    else this.settle(command, entry.finish?.(this.context, command) ?? 0);
  }

  cancel(command: Command): void {
    this.context.events.withdraw(command);
    if (command.opcode === AdminOpcode.abort) this.aborts--;
    adminEntries.get(command.opcode)?.cancel?.(this.context, command);
  }

  abandon(): void {
    const { context, subsystem } = this;
    this.aborts = 0;
    context.events.forget();
    context.keepAlive.stop();
    context.selfTest.reset();
    context.streams.reset();
    context.download.clear();
    context.changedNamespaces.clear();
    context.watch.reset();
    for (const entry of adminEntries.values()) entry.abandon?.(context);
    subsystem.firmware.reset(ResetStrength.controller);
    if (this.record.id === subsystem.secondaries.primaryId) subsystem.secondaries.primaryReset();
  }

  // What the registers set in motion.

  enabled(): void {
    this.record.wasEnabled = true;
    this.record.safeFromNs = Number.POSITIVE_INFINITY;
    restoreFeatures(this.context);
  }

  shutdown(): number {
    const { profile, world } = this.context;
    let dirtyPages = 0;
    for (const namespace of this.subsystem.namespaces) {
      dirtyPages += namespace.medium.dirtyPages;
      namespace.medium.flush();
    }
    const ns = profile.firmware.shutdownNs + this.subsystem.media.shutdownNs(dirtyPages);
    this.record.safeFromNs = world.nowNs + ns;
    return ns;
  }

  shutdownOver(): void {
    for (const namespace of this.subsystem.namespaces) namespace.medium.flush();
  }

  crashed(code: number): void {
    const inFlight = this.subsystem.health.commandsInFlight;
    this.captureTrouble(TelemetryReason.firmwareAssert, { 'assert-code': code, inFlight });
  }

  postEvent(type: number, information: number, logPage: number): void {
    this.context.events.post(type, information, logPage);
  }

  logError(error: ControllerError): void {
    this.record.logError(error);
  }

  // What the subsystem tells.

  namespaceChanged(nsid: number): void {
    this.context.changedNamespaces.add(nsid);
    if (this.subsystem.namespace(nsid) === undefined) {
      this.context.features.forgetNamespace(nsid);
      this.context.streams.enable(nsid, false);
    }
    if (EventFeature.namespace.of(wantsEvents(this.context)) === 0) return;
    this.postEvent(EventType.notice, Notice.namespaceChanged, LogPage.changedNamespaces);
  }

  healthChanged(): void {
    this.context.watch.look();
  }

  anaChanged(): void {
    if (EventFeature.ana.of(wantsEvents(this.context)) === 0) return;
    this.postEvent(EventType.notice, Notice.anaChanged, LogPage.ana);
  }

  qosChanged(): void {
    const { qos } = this.subsystem;
    if (qos === null || !hasQos(this.context)) return;
    const information = qos.keptPart < 1 ? QosEvent.shortfall : QosEvent.allKept;
    this.postEvent(EventType.vendor, information, QosLogPage.counters);
  }

  reservationNotice(nsid: number, notice: number): void {
    const isMasked = Math.floor(reservationMask(this.context, nsid) / 2 ** notice) % 2 === 1;
    if (isMasked || !this.context.reservationLog.add(nsid, notice)) return;
    this.postEvent(EventType.commandSpecific, SpecificEvent.reservation, LogPage.reservation);
  }

  sanitizeStarted(): void {
    const { context } = this;
    context.events.retract(LogPage.sanitize);
    context.selfTest.end(SelfTestOutcome.abortedBySanitize);
    context.streams.closeAll();
    for (const pending of [...context.formats.values()]) {
      context.services.stop(pending.command, Status.sanitizeInProgress);
    }
  }

  sanitizeEnded(isUnexpected: boolean): void {
    const { context } = this;
    const event = isUnexpected ? SpecificEvent.sanitizeUnexpected : SpecificEvent.sanitizeCompleted;
    if (this.subsystem.sanitizer.hasFailed) this.captureTrouble(TelemetryReason.sanitizeFailed);
    context.events.post(EventType.commandSpecific, event, LogPage.sanitize);
  }

  powerLost(): void {
    this.context.selfTest.powerLost();
    this.context.reservationLog.clear();
  }

  powerRestored(): void {
    this.context.selfTest.powerRestored();
    this.context.timestamp.clear();
  }

  // Inside.

  private check(command: Command, entry: AdminEntry): number {
    const { context } = this;
    const { words } = command;
    if (Sqe.fuse.get(words, 0) !== Fuse.normal) {
      return context.refuse(Status.invalidField, Sqe.fuse);
    }
    // SGLs are for I/O commands only over PCIe [NVMe-2.0 §4.1.1 PSDT].
    if (Sqe.psdt.get(words, 0) !== Psdt.prp) {
      return context.refuse(Status.invalidField, Sqe.psdt);
    }
    if (!entry.usesNsid && command.nsid !== 0) {
      return context.refuse(Status.invalidField, Sqe.nsid);
    }
    const refusal = this.mediaRefusal(entry);
    if (refusal !== 0) return refusal;
    if (
      command.opcode === AdminOpcode.abort &&
      this.aborts >= context.profile.controller.abortLimit
    ) {
      return Status.abortLimitExceeded;
    }
    return 0;
  }

  private reportReserved(command: Command): void {
    const dword = reservedDwordSet(command.opcode, command.words);
    if (dword < 0 || this.checker === null) return;
    const controller = this.record.id;
    const value = command.words[dword]!;
    this.checker.report('reservedNotZero', { controller, queue: 0, cid: command.cid, value });
  }

  private run(command: Command, entry: AdminEntry): void {
    command.step = Step.handled;
    const status = this.mediaRefusal(entry);
    this.settle(command, status === 0 ? entry.handler(this.context, command) : status);
  }

  /** Sanitize may have started since the command arrived. */
  private mediaRefusal(entry: AdminEntry): number {
    return entry.isAllowedInSanitize === true ? 0 : this.subsystem.mediaStatus;
  }

  private settle(command: Command, status: number): void {
    if (status === held) return;
    if (command.opcode === AdminOpcode.abort) this.aborts--;
    this.context.end(command, status);
  }

  /** [NVMe-2.0 §3.9.4 Keep Alive Timeout]: the controller stops and only a reset helps. */
  private keepAliveExpired(): void {
    this.record.logError({ status: Status.keepAliveTimerExpired });
    this.captureTrouble(TelemetryReason.keepAliveExpired);
    this.context.services.failController();
  }

  private powerManager(): PowerManager {
    const { world, health } = this.subsystem;
    const power = new PowerManager(world, health, () => this.subsystem.paceChanged());
    this.record.powerState = () => powerStates[power.stateNow()] ?? null;
    return power;
  }

  private captureTrouble(reason: number, more: Readonly<Record<string, number>> = {}): void {
    const { context } = this;
    context.telemetry.captureTrouble(reason, { ...more, ...telemetryFacts(context) });
    if (EventFeature.telemetry.of(wantsEvents(context)) === 0) return;
    this.postEvent(EventType.notice, Notice.telemetryChanged, LogPage.telemetryController);
  }
}
