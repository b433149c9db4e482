/**
 * Faults that a plan may ask for. Each can happen to a real card, so a host must end every command
 * by name, within its deadline, and never take wrong data for right: `survives` says what it may
 * count on besides.
 */

/** A field of a fault: what it may be, and what it is when it is left out. */
export interface FaultField {
  readonly min: number;
  readonly max: number;
  /** Words instead of numbers: the value is the place in the list. */
  readonly words?: readonly string[];
  /** undefined: the field must be given. */
  readonly fallback: number | undefined;
  readonly text: string;
}

/** When a fault may strike: at any moment, or at a command that the plan describes. */
export type FaultScope = 'any moment' | 'a command';

export interface FaultKindRule {
  readonly scope: FaultScope;
  /** It strikes a drive: the profile must model one. */
  readonly needsDrive?: boolean;
  readonly text: string;
  readonly survives: string;
  readonly fields: Readonly<Partial<Record<FaultFieldName, FaultField>>>;
}

/** The value of a time that never comes, and of a block that the command chooses. */
export const notGiven = -1;

const longestNs = 2 ** 50;
const largestBlock = Number.MAX_SAFE_INTEGER;
const booleans = ['false', 'true'] as const;

const time = (text: string, fallback?: number): FaultField => ({
  min: 0,
  max: longestNs,
  fallback,
  text,
});
const number = (min: number, max: number, text: string, fallback?: number): FaultField => ({
  min,
  max,
  fallback,
  text,
});
const flag = (text: string): FaultField => ({
  min: 0,
  max: 1,
  words: booleans,
  fallback: 0,
  text,
});

const die = (): FaultField => number(0, 65_535, 'of the drive', 0);
const operations = (text: string): FaultField => number(1, 1_000_000, text, 1);
const block = number(0, largestBlock, 'block; that of the command when left out', notGiven);

/** Identifiers of a completion entry that can go wrong. */
export const corruptFields = ['cid', 'sqid', 'sqhd'] as const;

export type FaultFieldName =
  | 'addNs'
  | 'bit'
  | 'blockCount'
  | 'code'
  | 'die'
  | 'field'
  | 'forNs'
  | 'operations'
  | 'ignoresAbort'
  | 'isProtected'
  | 'kelvin'
  | 'lba'
  | 'restoreAfterNs'
  | 'upAfterNs'
  | 'vector';

export const faultKinds = {
  'power cut': {
    scope: 'any moment',
    text: 'the supply goes away; writes that are not durable survive or not, in any order, torn',
    survives: 'flushed and FUA writes; with protection every completed write',
    fields: {
      isProtected: flag('capacitors carry the write cache to the media'),
      restoreAfterNs: time('until power is back; it stays away when left out', notGiven),
    },
  },
  'link down': {
    scope: 'any moment',
    text: 'the link is lost, the power is not; the function comes back reset',
    survives: 'every completed write',
    fields: { upAfterNs: time('until the link is back; it stays down when left out', notGiven) },
  },
  'bus reset': {
    scope: 'any moment',
    text: 'a hot reset that the driver has not asked for, in the middle of whatever runs',
    survives: 'every completed write',
    fields: {},
  },
  'surprise removal': {
    scope: 'any moment',
    text: 'the card is pulled out and does not come back',
    survives: 'nothing on this card; every command still ends by name',
    fields: {},
  },
  'controller fatal status': {
    scope: 'any moment',
    text: 'CSTS.CFS: the controller has stopped and only a reset helps',
    survives: 'every completed write',
    fields: {},
  },
  'firmware assert': {
    scope: 'any moment',
    text: 'the firmware stops as above and leaves a crash log in its telemetry',
    survives: 'every completed write, and the log over the reset',
    fields: { code: number(0, 0xffff, 'in the crash log', 1) },
  },
  'media error': {
    scope: 'any moment',
    text: 'blocks become unreadable (Unrecovered Read Error) until they are written again',
    survives: 'all other blocks; the lost ones are reported, never made up',
    fields: {
      lba: block,
      blockCount: number(1, 65_536, 'blocks that are lost', 1),
    },
  },
  'silent corruption': {
    scope: 'any moment',
    text: 'one bit of a block flips, and the card does not know',
    survives: 'all other blocks; only protection information or a check of the host finds it',
    fields: { lba: block, bit: number(0, 32_767, 'of the block', 0) },
  },
  'thermal throttling': {
    scope: 'any moment',
    text: 'the card gets hot: critical warnings, events, and what its firmware does about heat',
    survives: 'everything, at lower speed',
    fields: {
      kelvin: number(200, 500, 'composite temperature', 360),
      forNs: time('until it is as cool as before; it stays hot when left out', notGiven),
    },
  },
  'program failure': {
    scope: 'any moment',
    needsDrive: true,
    text: 'the next programs of a die fail: the block is retired, its data moved',
    survives: 'everything; spare blocks are used up',
    fields: { die: die(), operations: operations('programs that fail') },
  },
  'erase failure': {
    scope: 'any moment',
    needsDrive: true,
    text: 'the next erases of a die fail: each block is retired',
    survives: 'everything; spare blocks are used up',
    fields: { die: die(), operations: operations('erases that fail') },
  },
  'growing bad blocks': {
    scope: 'any moment',
    needsDrive: true,
    text: 'on every die of a drive the next erases fail',
    survives: 'everything, until no spare is left: then the drive is read only',
    fields: { operations: operations('blocks of each die that go bad') },
  },
  'slow die': {
    scope: 'any moment',
    needsDrive: true,
    text: 'a die answers late, once: what is in line for it waits',
    survives: 'everything',
    fields: { die: die(), addNs: time('until it answers') },
  },
  'spurious interrupt': {
    scope: 'any moment',
    text: 'a vector fires though no entry was posted',
    survives: 'everything',
    fields: { vector: number(0, 2047, 'MSI-X vector', 0) },
  },
  'latency spike': {
    scope: 'a command',
    text: 'a command takes longer',
    survives: 'everything; a command that outlives its deadline ends as unknown',
    fields: { addNs: time('added to its time') },
  },
  'stuck command': {
    scope: 'a command',
    text: 'a command never ends by itself',
    survives: 'everything else; the command ends by Abort or reset, as unknown',
    fields: { ignoresAbort: flag('the card cannot abort it either') },
  },
  'write fault': {
    scope: 'a command',
    text: 'a command that writes ends as Write Fault and has changed nothing',
    survives: 'everything',
    fields: {},
  },
  'lost completion': {
    scope: 'a command',
    text: 'a command was carried out and its entry is never posted',
    survives: 'everything; the command ends as unknown',
    fields: {},
  },
  'doubled completion': {
    scope: 'a command',
    text: 'the entry of a command is posted twice',
    survives: 'everything; no request ends twice',
    fields: {},
  },
  'corrupted completion': {
    scope: 'a command',
    text: 'an identifier in the entry is one that no command in flight has',
    survives: 'everything; the command ends as unknown',
    fields: {
      field: {
        min: 0,
        max: corruptFields.length - 1,
        words: corruptFields,
        fallback: 0,
        text: 'which one is wrong',
      },
    },
  },
  'lost interrupt': {
    scope: 'a command',
    text: 'the entry is posted and its interrupt is not sent',
    survives: 'everything',
    fields: {},
  },
  'poisoned TLP': {
    scope: 'a command',
    text: 'data or a list that it fetches is poisoned: Data Transfer Error, an error in AER',
    survives: 'everything; blocks that it would have written are as before',
    fields: {},
  },
  'aborted TLP': {
    scope: 'a command',
    text: 'the host aborts what it fetches: Data Transfer Error, Received Target Abort',
    survives: 'everything; blocks that it would have written are as before',
    fields: {},
  },
} as const satisfies Readonly<Record<string, FaultKindRule>>;

export type FaultKind = keyof typeof faultKinds;

/** In the order of the table. */
export const faultKindNames: readonly FaultKind[] = Object.keys(faultKinds).filter(isFaultKind);

export function isFaultKind(name: string): name is FaultKind {
  return Object.hasOwn(faultKinds, name);
}

/** The rule of a kind, its fields by any name. */
export function ruleOf(kind: FaultKind): FaultKindRule {
  return faultKinds[kind];
}
