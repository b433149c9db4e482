import * as admin from '../../sdk/spec/nvme/admin-command.js';
import { Sqe } from '../../sdk/spec/nvme/command.js';
import { Feature } from '../../sdk/spec/nvme/features.js';
import { AdminOpcode } from '../../sdk/spec/nvme/opcodes.js';
import { type Dice, Draft } from './dice.js';
import { type CommandStep, dataBytes, sandboxPage } from './step.js';

/** Opcodes that neither controller has or announces. */
const unknownOpcodes = [0x03, 0x07, 0x0b, 0x0e, 0x16, 0x17, 0x2f, 0x40, 0x7b, 0x83, 0x8f] as const;

/** A command for the admin queue. None of them changes the set of namespaces or the media. */
export function adminStep(dice: Dice): CommandStep {
  const kind = dice.below(20);
  if (kind < 4) return identifyStep(dice);
  if (kind < 7) return getFeatureStep(dice);
  if (kind < 9) return setFeatureStep(dice);
  if (kind < 12) return logStep(dice);
  if (kind < 14) return createCompletionStep(dice);
  if (kind < 16) return createSubmissionStep(dice);
  if (kind < 18) return deleteStep(dice);
  if (kind < 19) return abortStep(dice);
  return dice.chance(0.5) ? formatStep(dice) : unknownStep(dice);
}

const page: { readonly prp1: number; readonly prp2: number | null } = { prp1: 0, prp2: null };

function spoiled(dice: Dice, draft: Draft): Draft {
  if (dice.fault(0.02)) draft.set(Sqe.fuse, 1 + dice.below(3));
  if (dice.fault(0.02)) draft.set(Sqe.psdt, 1 + dice.below(3));
  return draft;
}

function identifyStep(dice: Dice): CommandStep {
  const draft = new Draft(AdminOpcode.identify, dice.mostly(1, [0, 255, 0xffff_fffe, 0xffff_ffff]))
    .set(admin.Identify.cns, dice.pick(dice.facts.structures))
    .set(admin.Identify.cntid, dice.mostly(0, [1, 0xffff], 0.1))
    .set(admin.Identify.csi, dice.mostly(0, [1, 3, 0x30], 0.1));
  const places = [
    { prp1: 512, prp2: sandboxPage },
    { prp1: 4, prp2: 2 * sandboxPage },
    { prp1: 512, prp2: sandboxPage + 4 },
    { prp1: 0, prp2: sandboxPage },
  ];
  return spoiled(dice, draft).step(0, dice.mostly(page, places, 0.15));
}

function getFeatureStep(dice: Dice): CommandStep {
  const draft = new Draft(AdminOpcode.getFeatures, dice.mostly(0, [1, 255, 0xffff_ffff], 0.3))
    .set(admin.GetFeatures.fid, dice.pick(dice.facts.features))
    .set(admin.GetFeatures.sel, dice.mostly(dice.below(4), [4, 5, 7], 0.05));
  return spoiled(dice, draft).step(0, page);
}

/** Values that a feature can have and values that it cannot; none raises an event. */
const featureValues: readonly (readonly [number, readonly number[]])[] = [
  [Feature.arbitration, [0, 3, 7, 0x0101_0103]],
  [Feature.powerManagement, [0, 31]],
  [Feature.temperatureThreshold, [0x190, 0x1a0, 0x0010_0010, 0x0030_0190, 0x000b_0190]],
  [Feature.errorRecovery, [0, 5, 0xffff]],
  [Feature.volatileWriteCache, [0, 1]],
  [Feature.numberOfQueues, [0, 0x0003_0003, 0xfffe_fffe]],
  [Feature.interruptCoalescing, [0, 0x0103]],
  [Feature.writeAtomicity, [0, 1]],
  [Feature.asynchronousEvents, [0, 0x0100, 0x0700]],
  [Feature.keepAlive, [0]],
  ...[0x1f, 0x70, 0xbf].map((fid) => [fid, [0, 1]] as const),
];

function setFeatureStep(dice: Dice): CommandStep {
  const known = featureValues.filter(([id]) => dice.facts.features.includes(id));
  const [fid, values] = dice.pick(known);
  const draft = new Draft(AdminOpcode.setFeatures, dice.mostly(0, [1, 255, 0xffff_ffff], 0.2))
    .set(admin.SetFeatures.fid, fid)
    .set(admin.SetFeatures.value, dice.pick(values));
  return spoiled(dice, draft).step(0, page);
}

function logStep(dice: Dice): CommandStep {
  const draft = new Draft(AdminOpcode.getLogPage, dice.mostly(0xffff_ffff, [0], 0.2))
    .set(admin.GetLogPage.lid, dice.pick(dice.facts.logs))
    .set(admin.GetLogPage.rae, dice.below(2))
    .set(admin.GetLogPage.lpo, dice.mostly(0, [4, 64, 508, 512, 516, 4096, 2, 2 ** 32], 0.3));
  const most = dataBytes / 4;
  admin.setLogDwords(draft.words, 0, dice.mostly(1 + dice.below(128), [most, 1024, 1, 129], 0.3));
  const dwords = admin.logDwords(draft.words, 0);
  const form = dwords * 4 > 2 * sandboxPage ? shortened(draft) : { prp1: 0, prp2: sandboxPage };
  return spoiled(dice, draft).step(0, form);
}

/** One page: two would need a list. */
function shortened(draft: Draft): { readonly prp1: number; readonly prp2: number } {
  admin.setLogDwords(draft.words, 0, sandboxPage / 4);
  return { prp1: 0, prp2: sandboxPage };
}

function someQueueId(dice: Dice): number {
  const beyond = dice.facts.queuePairs + 1;
  return dice.mostly(2 + dice.below(3), [0, 1, beyond - 1, beyond, 0xffff], 0.35);
}

function someSize(dice: Dice): number {
  const { queueEntries } = dice.facts;
  return dice.mostly(2 + dice.below(62), [1, queueEntries, queueEntries + 1, 0x1_0000], 0.25);
}

function createCompletionStep(dice: Dice): CommandStep {
  const { vectors } = dice.facts;
  const C = admin.CreateCompletionQueue;
  const draft = new Draft(AdminOpcode.createCompletionQueue, 0)
    .set(C.qid, someQueueId(dice))
    .set(C.qsize, someSize(dice))
    .set(C.pc, dice.mostly(1, [0], 0.05))
    .set(C.ien, dice.below(2))
    .set(C.iv, dice.mostly(dice.below(vectors), [vectors, vectors + 1, 2048, 0xffff], 0.15));
  return spoiled(dice, draft).step(0, { prp1: queuePlace(dice) });
}

function createSubmissionStep(dice: Dice): CommandStep {
  const C = admin.CreateSubmissionQueue;
  const draft = new Draft(AdminOpcode.createSubmissionQueue, 0)
    .set(C.qid, someQueueId(dice))
    .set(C.qsize, someSize(dice))
    .set(C.pc, dice.mostly(1, [0], 0.05))
    .set(C.cqid, dice.mostly(1, [0, 2, 3, 4, 60, 0xffff], 0.35))
    .set(C.qprio, dice.below(4));
  return spoiled(dice, draft).step(0, { prp1: queuePlace(dice) });
}

/** Nothing is posted to these queues: their memory is never read or written. */
function queuePlace(dice: Dice): number {
  return dice.mostly(0, [8, 512, 4095], 0.1);
}

function deleteStep(dice: Dice): CommandStep {
  const { deleteSubmissionQueue, deleteCompletionQueue } = AdminOpcode;
  const beyond = dice.facts.queuePairs + 1;
  const qid = dice.mostly(2 + dice.below(3), [0, beyond, 0xffff], 0.15);
  const draft = new Draft(dice.pick([deleteSubmissionQueue, deleteCompletionQueue]), 0).set(
    admin.DeleteSubmissionQueue.qid,
    qid,
  );
  // The completion queue of the pair is in use: it stays.
  if (dice.fault(0.1)) {
    draft.set(Sqe.opc, deleteCompletionQueue).set(admin.DeleteCompletionQueue.qid, 1);
  }
  return spoiled(dice, draft).step(0);
}

/** Of commands that are not there any more. */
function abortStep(dice: Dice): CommandStep {
  const draft = new Draft(AdminOpcode.abort, 0)
    .set(admin.Abort.sqid, dice.mostly(dice.below(2), [5, 65, 0xffff], 0.15))
    .set(admin.Abort.cid, 0xfff0 + dice.below(16));
  return spoiled(dice, draft).step(0);
}

/** Formats that do not exist: nothing is erased. */
function formatStep(dice: Dice): CommandStep {
  const beyond = dice.facts.formats.length;
  const draft = new Draft(AdminOpcode.formatNvm, dice.mostly(1, [0xffff_ffff], 0.2));
  if (dice.chance(0.5)) draft.set(admin.FormatNvm.lbafl, Math.min(15, beyond + dice.below(4)));
  else draft.set(admin.FormatNvm.pi, 1 + dice.below(7));
  return spoiled(dice, draft).step(0);
}

function unknownStep(dice: Dice): CommandStep {
  return new Draft(dice.pick(unknownOpcodes), 1).step(0, page);
}
