import type { Bits, U64 } from '../../sdk/spec/layout.js';
import * as admin from '../../sdk/spec/nvme/admin-command.js';
import { Sqe } from '../../sdk/spec/nvme/command.js';
import { Cns } from '../../sdk/spec/nvme/identify.js';
import { IdentifyController } from '../../sdk/spec/nvme/identify-controller.js';
import { IdentifyNamespace } from '../../sdk/spec/nvme/identify-namespace.js';
import { LogPage } from '../../sdk/spec/nvme/logs.js';
import { AdminOpcode, opcodeText } from '../../sdk/spec/nvme/opcodes.js';
import { StatusFlag, statusKind, statusText } from '../../sdk/spec/nvme/status.js';
import { type CrossBench, type Outcome, poisonWord } from './bench.js';
import { type CommandStep, dataBytes, type Ending, type Step } from './step.js';

export type Aspect =
  | 'completion'
  | 'status'
  | 'flags'
  | 'dw0'
  | 'dw1'
  | 'sqhd'
  | 'data'
  | 'extent'
  | 'field'
  | 'register';

/** One thing that is not the same on both. */
export interface Difference {
  readonly aspect: Aspect;
  readonly step: Step | Ending | null;
  /** Of the left controller and of the right one; for data, where they begin to differ. */
  readonly left: number;
  readonly right: number;
  /** Name of the field for 'field'. */
  readonly field: string;
}

export interface Pair {
  readonly left: CrossBench;
  readonly right: CrossBench;
}

export function compareOutcomes(step: Step | Ending, left: Outcome, right: Outcome): Difference[] {
  const found: Difference[] = [];
  const look = (aspect: Aspect, a: number, b: number): void => {
    if (a !== b) found.push({ aspect, step, left: a, right: b, field: '' });
  };
  look('register', left.register, right.register);
  const [a, b] = [left.completion, right.completion];
  if (a === null || b === null) {
    look('completion', a === null ? 0 : 1, b === null ? 0 : 1);
    return found;
  }
  look('status', statusKind(a.status), statusKind(b.status));
  if (found.some((difference) => difference.aspect === 'status')) return found;
  look('flags', a.status, b.status);
  look('dw0', a.dw0, b.dw0);
  look('dw1', a.dw1, b.dw1);
  if (step.kind === 'command') look('sqhd', a.sqhd, b.sqhd);
  return found;
}

/** What both returned to memory, for a command that both carried out. */
export function compareData(step: CommandStep, pair: Pair): Difference[] {
  const left = pair.left.sandbox.words;
  const right = pair.right.sandbox.words;
  const fields = step.queue === 0 ? pageFields(step) : 'all';
  const found: Difference[] = [];
  if (fields === 'all') {
    const at = firstDifference(left, right);
    if (at >= 0) found.push({ aspect: 'data', step, left: at, right: at, field: '' });
    return found;
  }
  const [a, b] = [extent(left), extent(right)];
  if (a !== b) found.push({ aspect: 'extent', step, left: a, right: b, field: '' });
  const base = (step.prp1 ?? 0) / 4;
  // A page in pieces is compared by its extent alone.
  if (base !== 0) return found;
  for (const [field, table] of fields) {
    const [x, y] = [table.get(left, 0), table.get(right, 0)];
    if (x !== y) found.push({ aspect: 'field', step, left: x, right: y, field });
  }
  return found;
}

export function sameData(pair: Pair): number {
  return firstDifference(pair.left.sandbox.words, pair.right.sandbox.words);
}

/** Dword at which the data pages differ; -1 when they do not. */
function firstDifference(left: Uint32Array, right: Uint32Array): number {
  const bytes = (words: Uint32Array) => Buffer.from(words.buffer, words.byteOffset, dataBytes);
  if (Buffer.compare(bytes(left), bytes(right)) === 0) return -1;
  for (let i = 0; i < dataBytes / 4; i++) if (left[i] !== right[i]) return i;
  return -1;
}

/** Dwords up to the last one that was written. */
function extent(words: Uint32Array): number {
  for (let i = dataBytes / 4; i > 0; i--) if (words[i - 1] !== poisonWord) return i;
  return 0;
}

type Fields = readonly (readonly [string, Bits | U64])[];
const C = IdentifyController;
const N = IdentifyNamespace;

/** What two cards that are configured alike must say alike; the rest is identity and capability. */
const controllerFields: Fields = [
  ['sqesRequired', C.sqesRequired],
  ['cqesRequired', C.cqesRequired],
  ['sqesMaximum', C.sqesMaximum],
  ['cqesMaximum', C.cqesMaximum],
  ['mdts', C.mdts],
  ['nn', C.nn],
  ['acl', C.acl],
  ['aerl', C.aerl],
  ['elpe', C.elpe],
  ['vwcPresent', C.vwcPresent],
  ['vwcFlush', C.vwcFlush],
];

const namespaceFields: Fields = [
  ['nsze', N.nsze],
  ['ncap', N.ncap],
  ['nlbaf', N.nlbaf],
  ['flbasIndex', N.flbasIndex],
  ['dpsType', N.dpsType],
  ['nmicShared', N.nmicShared],
];

/** Fields to compare of a page, or all of its bytes. */
function pageFields(step: CommandStep): Fields | 'all' {
  const words = Uint32Array.from(step.words);
  switch (Sqe.opc.get(words, 0)) {
    case AdminOpcode.identify:
      return identifyFields(admin.Identify.cns.get(words, 0), Sqe.nsid.get(words, 0));
    case AdminOpcode.getLogPage:
      return admin.GetLogPage.lid.get(words, 0) === LogPage.changedNamespaces ? 'all' : [];
    case AdminOpcode.getFeatures:
      // Where a feature has data, it is a capability or a time.
      return [];
    default:
      return 'all';
  }
}

function identifyFields(cns: number, nsid: number): Fields | 'all' {
  switch (cns) {
    case Cns.controller:
      return controllerFields;
    case Cns.namespace:
    case Cns.allocatedNamespace:
      return nsid === 1 ? namespaceFields : 'all';
    case Cns.namespaceOfCommandSet:
    case Cns.allocatedNamespaceOfCommandSet:
    case Cns.controllerOfCommandSet:
    case Cns.namespaceDescriptors:
    case Cns.primaryCapabilities:
    case Cns.commandSets:
    case Cns.namespaceOfFormat:
    case Cns.namespaceOfFormatAndSet:
      return [];
    default:
      return 'all';
  }
}

/** What distinguishes one kind of difference from another, in words. */
export function signature(difference: Difference): string {
  const { aspect, step, left, right, field } = difference;
  const what = `${stepText(step)}: ${aspect}${field === '' ? '' : ` ${field}`}`;
  if (aspect === 'data' || aspect === 'extent') return `${what} (dword ${left}, ${right})`;
  if (aspect === 'status') return `${what} ${statusText(left)} | ${statusText(right)}`;
  if (aspect === 'flags') return `${flagsText(left)} | ${flagsText(right)}`;
  return `${what} ${hex(left)} | ${hex(right)}`;
}

function flagsText(status: number): string {
  const { doNotRetry, more } = StatusFlag;
  return `DNR ${status & doNotRetry ? 1 : 0} M ${status & more ? 1 : 0}`;
}

export function stepText(step: Step | Ending | null): string {
  if (step === null) return 'window';
  if (step.kind === 'register') {
    return `register ${step.name}${step.write === null ? '' : ` = ${hex(step.write)}`}`;
  }
  if (step.kind === 'doorbell') return `doorbell ${step.side} ${step.queue} = ${step.value}`;
  if (step.kind === 'start') return `start with cc ${hex(step.cc)} aqa ${hex(step.aqa)}`;
  if (step.kind !== 'command') return step.kind;
  const words = Uint32Array.from(step.words);
  const opcode = Sqe.opc.get(words, 0);
  const name = opcodeText(opcode, step.queue === 0 ? 'admin' : 'nvm');
  return `${name}${subjectText(step, words)}`;
}

function subjectText(step: CommandStep, words: Uint32Array): string {
  if (step.queue === 1) return '';
  switch (Sqe.opc.get(words, 0)) {
    case AdminOpcode.identify:
      return ` cns ${hex(admin.Identify.cns.get(words, 0))}`;
    case AdminOpcode.getLogPage:
      return ` lid ${hex(admin.GetLogPage.lid.get(words, 0))}`;
    case AdminOpcode.getFeatures: {
      const sel = admin.GetFeatures.sel.get(words, 0);
      return ` fid ${hex(admin.GetFeatures.fid.get(words, 0))} sel ${sel}`;
    }
    case AdminOpcode.setFeatures:
      return ` fid ${hex(admin.SetFeatures.fid.get(words, 0))}`;
    default:
      return '';
  }
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
