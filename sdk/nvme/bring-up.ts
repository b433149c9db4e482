import type { DmaRegion } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { DoorbellBufferConfig, Identify, SetFeatures } from '../spec/nvme/admin-command.js';
import { commandSizeExponent } from '../spec/nvme/command.js';
import { completionSizeExponent } from '../spec/nvme/completion.js';
import { Feature, HostIdentifierFeature, QueueCountFeature } from '../spec/nvme/features.js';
import { Cns, identifyBytes } from '../spec/nvme/identify.js';
import { IdentifyController, IdentifyControllerNvm } from '../spec/nvme/identify-controller.js';
import { AdminOpcode } from '../spec/nvme/opcodes.js';
import {
  Aqa,
  ArbitrationMechanism,
  Cap,
  Cc,
  CommandSetSelect,
  Csts,
  pageShiftBase,
  Register,
} from '../spec/nvme/registers.js';
import { secondNs, usNs } from '../units.js';
import { type AdminQueue, command } from './admin-queue.js';
import type { Core, Limits } from './core.js';
import { registerPollNs } from './options.js';
import { enableMemory, setBusMaster } from './pci-probe.js';
import { type Steps, until } from './procedure.js';
import { readyDelayNs } from './quirks.js';
import { removed } from './registers.js';

const page = IdentifyController;

/**
 * Clear CC.EN and wait until CSTS.RDY is 0: from then on the controller touches no host memory.
 *
 * @throws UltimaError CONTROLLER_TIMEOUT, DEVICE_REMOVED
 * @cite   [NVMe-2.0 §3.1.3.5 CC.EN]
 */
export function* disable(core: Core): Steps<void> {
  const { registers } = core;
  let csts = registers.presentStatus('disabling the controller');
  let cc = registers.read32(Register.cc);
  // EN must not be cleared while a former enable is still on its way, unless that has failed.
  if (Cc.en.of(cc) === 1 && !registers.isReady(csts) && !registers.isFatal(csts)) {
    yield* waitFor(core, 'CSTS.RDY = 1 of a former enable', (now) => {
      return Csts.rdy.of(now) === 1 || Csts.cfs.of(now) === 1;
    });
    csts = registers.presentStatus('disabling the controller');
  }
  core.mute();
  if (Cc.en.of(cc) === 1) {
    cc = Cc.shn.put(Cc.en.put(cc, 0), 0);
    registers.write32(Register.cc, cc);
    if (core.quirks.names.has('delay before ready')) yield* pause(core, readyDelayNs);
  }
  const isDown = yield* waitFor(core, 'CSTS.RDY = 0', (now) => Csts.rdy.of(now) === 0);
  if (!isDown) throw timedOut(core, 'CSTS.RDY = 0 after CC.EN = 0');
}

/**
 * Program the admin queue and set CC.EN. The controller must be disabled.
 *
 * @throws UltimaError CONTROLLER_TIMEOUT, CONTROLLER_FATAL, DEVICE_REMOVED, DEVICE_UNSUPPORTED
 * @cite   [NVMe-2.0 §3.5.1 Memory-based Controller Initialization]
 */
export function* enable(core: Core, admin: AdminQueue): Steps<void> {
  const { registers, fn } = core;
  const { submission, completion } = admin.pair;
  // 1. The function answers memory accesses. It may reach memory only now that it is known to be
  //    disabled: an enabled leftover would write to queues that are no longer there.
  enableMemory(fn);
  setBusMaster(fn, true);
  // 2. CSTS.RDY is 0.
  const csts = registers.presentStatus('enabling the controller');
  if (registers.isReady(csts)) throw timedOut(core, 'CSTS.RDY = 0 before CC.EN = 1');
  // 3. Configure the admin queue: AQA, ASQ and ACQ.
  submission.rewind();
  completion.rewind();
  let aqa = Aqa.asqs.put(0, submission.entries);
  aqa = Aqa.acqs.put(aqa, completion.entries);
  registers.write32(Register.aqa, aqa);
  registers.write64(Register.asq, submission.region.iova);
  registers.write64(Register.acq, completion.region.iova);
  // 4. and 5. Command sets, arbitration mechanism, page size and entry sizes.
  const cc = configuration(core);
  registers.write32(Register.cc, cc);
  // 6. Enable the controller.
  registers.write32(Register.cc, Cc.en.put(cc, 1));
  // 7. Wait for CSTS.RDY = 1.
  const isUp = yield* waitFor(core, 'CSTS.RDY = 1', (now) => {
    if (Csts.cfs.of(now) === 1) throw fatal(core, 'while it was enabled', now);
    return Csts.rdy.of(now) === 1;
  });
  if (!isUp) throw timedOut(core, 'CSTS.RDY = 1 after CC.EN = 1');
  submission.isOpen = true;
}

function configuration(core: Core): number {
  const { capabilities, settings } = core;
  let cc = 0;
  let css: number = CommandSetSelect.nvm;
  if (capabilities.hasCommandSets) css = CommandSetSelect.all;
  else if (!capabilities.hasNvmCommandSet && capabilities.isAdminOnly) {
    css = CommandSetSelect['admin only'];
  }
  cc = Cc.css.put(cc, css);
  cc = Cc.mps.put(cc, Math.log2(core.pageBytes) - pageShiftBase);
  const wantsWeights = settings.arbitration === 'weighted round robin';
  const ams = wantsWeights ? ArbitrationMechanism['weighted round robin with urgent'] : 0;
  cc = Cc.ams.put(cc, ams);
  cc = Cc.iosqes.put(cc, commandSizeExponent);
  return Cc.iocqes.put(cc, completionSizeExponent);
}

/**
 * Find out what the enabled controller is, and ask it for queues.
 *
 * @throws UltimaError of the admin commands; DEVICE_MISBEHAVED for answers that cannot be
 */
export function* configure(core: Core, admin: AdminQueue): Steps<void> {
  // 8. Identify the controller.
  const identify = command(AdminOpcode.identify);
  Identify.cns.set(identify, 0, Cns.controller);
  const answer = yield* admin.exchange(identify, identifyBytes);
  core.controllerPage = answer.words;
  checkEntrySizes(core);
  // 9. Limits of the NVM command set, which older controllers do not report.
  const nvm = command(AdminOpcode.identify);
  Identify.cns.set(nvm, 0, Cns.controllerOfCommandSet);
  const version = page.ver.get(answer.words, 0);
  const wantsNvm = version >= firstVersionWithCommandSets;
  const specific = wantsNvm
    ? yield* admin.exchange(nvm, identifyBytes, { allowsFailure: true })
    : null;
  const nvmWords = specific !== null && specific.result.status === 0 ? specific.words : null;
  // 10. The number of I/O queues.
  const granted =
    core.capabilities.isAdminOnly && !core.capabilities.hasNvmCommandSet
      ? 0
      : yield* numberOfQueues(core, admin);
  core.limits = limitsOf(core, nvmWords, granted);
  // 11. Who we are, which every reset forgets.
  const { hostIdentifier } = core.settings;
  if (hostIdentifier !== null) yield* identifyHost(core, admin, hostIdentifier);
  // 12. Shadow doorbells are forgotten by every reset and asked for again.
  if (core.shadow !== null) yield* shadowDoorbells(core, admin);
}

function* identifyHost(core: Core, admin: AdminQueue, identifier: Uint8Array): Steps<void> {
  if (page.ctrattHostId128.get(core.controllerPage, 0) === 0) {
    throw new UltimaError(
      ErrorCode.deviceUnsupported,
      `${core.fn.address}: the controller takes no host identifiers of 128 bits; leave it out`,
      { address: core.fn.address },
    );
  }
  const words = command(AdminOpcode.setFeatures);
  SetFeatures.fid.set(words, 0, Feature.hostIdentifier);
  SetFeatures.value.set(words, 0, HostIdentifierFeature.exhid.put(0, 1));
  const fill = (region: DmaRegion): void => region.bytes.set(identifier);
  yield* admin.exchange(words, identifier.length, {}, fill);
}

/** VS of revision 1.4 has no command set specific pages; 2.0 does. */
const firstVersionWithCommandSets = 0x0002_0000;

function* numberOfQueues(core: Core, admin: AdminQueue): Steps<number> {
  const words = command(AdminOpcode.setFeatures);
  SetFeatures.fid.set(words, 0, Feature.numberOfQueues);
  let value = QueueCountFeature.nsq.put(0, core.settings.queuePairs);
  value = QueueCountFeature.ncq.put(value, core.settings.queuePairs);
  SetFeatures.value.set(words, 0, value);
  const { dw0 } = yield* admin.execute(words);
  // The controller may give fewer than asked, or more: what was asked for is enough.
  const given = Math.min(QueueCountFeature.nsq.of(dw0), QueueCountFeature.ncq.of(dw0));
  return Math.min(given, core.settings.queuePairs);
}

function* shadowDoorbells(core: Core, admin: AdminQueue): Steps<void> {
  const { shadow, eventIndex } = core.shadow!;
  shadow.words.fill(0);
  eventIndex.words.fill(0);
  const words = command(AdminOpcode.doorbellBufferConfig);
  DoorbellBufferConfig.shadow.set(words, 0, shadow.iova);
  DoorbellBufferConfig.eventIndex.set(words, 0, eventIndex.iova);
  yield* admin.execute(words);
}

function checkEntrySizes(core: Core): void {
  const words = core.controllerPage;
  const sq = page.sqesRequired.get(words, 0);
  const cq = page.cqesRequired.get(words, 0);
  if (sq <= commandSizeExponent && cq <= completionSizeExponent) return;
  throw new UltimaError(
    ErrorCode.deviceUnsupported,
    `${core.fn.address}: queue entries of 2^${sq} and 2^${cq} bytes are required; 2^6 and 2^4 fit`,
    { address: core.fn.address, sqes: sq, cqes: cq },
  );
}

function limitsOf(core: Core, nvm: Uint32Array | null, queues: number): Limits {
  const words = core.controllerPage;
  const unit = core.capabilities.minPageBytes;
  const mdts = page.mdts.get(words, 0);
  // 2^mdts pages; 0 is no limit. What cannot be counted is no limit either.
  const mdtsBytes = mdts === 0 ? Number.MAX_SAFE_INTEGER : unit * 2 ** Math.min(mdts, 30);
  const quirks = core.quirks.names;
  const wzsl = nvm === null ? 0 : IdentifyControllerNvm.wzsl.get(nvm, 0);
  const support = page.sglsSupport.get(words, 0);
  return {
    maxTransferBytes: Math.min(mdtsBytes, core.settings.maxTransferBytes),
    abortLimit: page.acl.get(words, 0),
    eventLimit: page.aerl.get(words, 0),
    hasVolatileCache: page.vwcPresent.get(words, 0) === 1,
    canDeallocate: page.oncsDatasetManagement.get(words, 0) === 1 && !quirks.has('no deallocate'),
    canWriteZeroes: page.oncsWriteZeroes.get(words, 0) === 1 && !quirks.has('no write zeroes'),
    canUseSgl: support !== 0,
    sglAlignment: support === dwordGranular ? 4 : 1,
    hasShadowDoorbells: page.oacsDbbuf.get(words, 0) === 1,
    atomicWriteBlocks: page.awupf.get(words, 0),
    shutdownNs: Math.max(secondNs, page.rtd3e.get(words, 0) * usNs) + core.capabilities.timeoutNs,
    zeroBytes: wzsl === 0 ? 0 : unit * 2 ** Math.min(wzsl, 30),
    deallocateBlocks: nvm === null ? 0 : IdentifyControllerNvm.dmrsl.get(nvm, 0),
    submissionQueues: queues,
    completionQueues: queues,
    namespaceCount: page.nn.get(words, 0),
  };
}

const dwordGranular = 2;

/** Wait on CSTS with the time that CAP.TO gives. @returns false when it passed */
export function* waitFor(
  core: Core,
  what: string,
  isThere: (csts: number) => boolean,
): Steps<boolean> {
  const deadlineNs = core.clock.nowNs() + core.capabilities.timeoutNs;
  const poll = { clock: core.clock, deadlineNs, intervalNs: registerPollNs };
  return yield* until(() => {
    const csts = core.registers.status();
    if (csts === null) throw removed(core.fn, `waiting for ${what}`);
    return isThere(csts);
  }, poll);
}

export function* pause(core: Core, ns: number): Steps<void> {
  const untilNs = core.clock.nowNs() + ns;
  while (core.clock.nowNs() < untilNs) yield untilNs;
}

export function timedOut(core: Core, what: string): UltimaError {
  const waitedMs = core.capabilities.timeoutNs / 1e6;
  const csts = core.registers.status();
  return new UltimaError(
    ErrorCode.controllerTimeout,
    `${core.fn.address}: no ${what} within the ${waitedMs} ms of CAP.TO`,
    { address: core.fn.address, what, waitedMs, csts: csts ?? 'gone', to: Cap.to.max },
  );
}

export function fatal(core: Core, when: string, csts: number): UltimaError {
  return new UltimaError(
    ErrorCode.controllerFatal,
    `${core.fn.address}: the controller reports a fatal error (CSTS.CFS) ${when}`,
    { address: core.fn.address, csts },
  );
}
