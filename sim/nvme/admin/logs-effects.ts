import {
  CommandEffects,
  EffectsLog,
  FeatureEffects,
  FeatureEffectsLog,
  MiEffectsLog,
  SubmissionLimits,
} from '../../../sdk/spec/nvme/logs.js';
import { AdminOpcode, NvmOpcode } from '../../../sdk/spec/nvme/opcodes.js';
import type { AdminContext } from './context.js';
import { featureIds, featureOf } from './features.js';

/** What a command changes besides its own result. */
interface Effects {
  readonly content?: boolean;
  readonly capability?: boolean;
  readonly inventory?: boolean;
  readonly controller?: boolean;
  readonly limits?: number;
}

const { sameNamespace, anyNamespace } = SubmissionLimits;

const adminEffects: ReadonlyMap<number, Effects> = new Map<number, Effects>([
  [
    AdminOpcode.namespaceManagement,
    { content: true, capability: true, inventory: true, limits: anyNamespace },
  ],
  [AdminOpcode.namespaceAttachment, { inventory: true, limits: anyNamespace }],
  [AdminOpcode.firmwareCommit, { controller: true, limits: anyNamespace }],
  [AdminOpcode.formatNvm, { content: true, capability: true, limits: anyNamespace }],
  [AdminOpcode.sanitize, { content: true, limits: anyNamespace }],
  [AdminOpcode.virtualizationManagement, { controller: true }],
]);

const ioEffects: ReadonlyMap<number, Effects> = new Map<number, Effects>([
  [NvmOpcode.write, { content: true }],
  [NvmOpcode.writeUncorrectable, { content: true }],
  [NvmOpcode.writeZeroes, { content: true }],
  [NvmOpcode.datasetManagement, { content: true }],
  [NvmOpcode.copy, { content: true }],
  [NvmOpcode.reservationAcquire, { limits: sameNamespace }],
]);

const reservationOpcodes: ReadonlySet<number> = new Set([
  NvmOpcode.reservationRegister,
  NvmOpcode.reservationReport,
  NvmOpcode.reservationAcquire,
  NvmOpcode.reservationRelease,
]);

/** Commands whose effects stay inside the namespace that they name. */
const namespaceScope: ReadonlySet<number> = new Set([
  AdminOpcode.formatNvm,
  AdminOpcode.namespaceAttachment,
]);

/** 05h. */
export function effectsLog(context: AdminContext): Uint8Array {
  const words = new Uint32Array(EffectsLog.layout.bytes / 4);
  for (const opcode of context.opcodes) {
    const at = EffectsLog.admin.at(0, opcode);
    writeEffects(words, at, adminEffects.get(opcode) ?? {});
    const scope = namespaceScope.has(opcode)
      ? CommandEffects.scopeNamespace
      : CommandEffects.scopeController;
    scope.set(words, at, 1);
  }
  for (const opcode of Object.values(NvmOpcode)) {
    const isReservation = reservationOpcodes.has(opcode);
    if (isReservation && !context.profile.subsystem.hasReservations) continue;
    const at = EffectsLog.io.at(0, opcode);
    writeEffects(words, at, ioEffects.get(opcode) ?? {});
    CommandEffects.scopeNamespace.set(words, at, 1);
  }
  return new Uint8Array(words.buffer);
}

function writeEffects(words: Uint32Array, at: number, effects: Effects): void {
  CommandEffects.csupp.set(words, at, 1);
  CommandEffects.lbcc.set(words, at, effects.content === true ? 1 : 0);
  CommandEffects.ncc.set(words, at, effects.capability === true ? 1 : 0);
  CommandEffects.nic.set(words, at, effects.inventory === true ? 1 : 0);
  CommandEffects.ccc.set(words, at, effects.controller === true ? 1 : 0);
  CommandEffects.cse.set(words, at, effects.limits ?? SubmissionLimits.none);
}

/** 12h. */
export function featureEffectsLog(context: AdminContext): Uint8Array {
  const words = new Uint32Array(FeatureEffectsLog.layout.bytes / 4);
  for (const fid of featureIds(context)) {
    const at = FeatureEffectsLog.features.at(0, fid);
    FeatureEffects.fsupp.set(words, at, 1);
    const isPerNamespace = featureOf(context, fid)?.isPerNamespace === true;
    const scope = isPerNamespace ? FeatureEffects.scopeNamespace : FeatureEffects.scopeController;
    scope.set(words, at, 1);
  }
  return new Uint8Array(words.buffer);
}

/** 13h: no management command can be sent through this controller. */
export function miEffectsLog(): Uint8Array {
  return new Uint8Array(MiEffectsLog.layout.bytes);
}
