import { ErrorCode, UltimaError } from '../errors.js';
import { AdminOpcode, NvmOpcode } from '../spec/nvme/opcodes.js';
import {
  type FaultField,
  type FaultFieldName,
  type FaultKind,
  faultKindNames,
  isFaultKind,
  notGiven,
  ruleOf,
} from './kinds.js';

/** Commands that a fault looks for; what is left out is no condition. */
export interface CommandMatch {
  /** 'read', 'writeZeroes', 'identify': a name of the opcode tables. */
  readonly opcode?: string;
  /** Submission queue, 0 is the admin queue. */
  readonly queue?: number;
  /** Commands that touch one of `blockCount` blocks (1 when left out) from here on. */
  readonly lba?: number;
  readonly blockCount?: number;
  /** The first one that counts, from 1. */
  readonly first?: number;
  /** From there on, every so many of them. */
  readonly every?: number;
  /** Of those, each with this probability, drawn from the seed. */
  readonly probability?: number;
}

/** One of three: before an event of the world, at a virtual time, or at commands. */
export interface FaultMoment {
  readonly event?: number;
  readonly atNs?: number;
  readonly command?: CommandMatch;
}

export interface FaultPlace {
  /** Which card of the world, from 0; each of them when left out. */
  readonly card?: number;
  /** 0 is the physical function. */
  readonly function?: number;
  /** Namespace of block faults, 1 when left out. */
  readonly namespace?: number;
  /** Drive of faults of its flash, 0 when left out. */
  readonly drive?: number;
}

/** A fault as people write it. The fields that a kind has stand in `faultKinds`. */
export interface FaultSpec {
  readonly kind: FaultKind;
  readonly when: FaultMoment;
  readonly where?: FaultPlace;
  /** So often at most; 1 when left out. Only faults at commands strike more than once. */
  readonly count?: number;
  readonly addNs?: number;
  readonly bit?: number;
  readonly blockCount?: number;
  readonly code?: number;
  readonly die?: number;
  readonly field?: string;
  readonly forNs?: number;
  readonly ignoresAbort?: boolean;
  readonly isProtected?: boolean;
  readonly kelvin?: number;
  readonly lba?: number;
  readonly operations?: number;
  readonly restoreAfterNs?: number;
  readonly upAfterNs?: number;
  readonly vector?: number;
}

/** A plan as people write it, in code or as JSON. */
export interface FaultPlanSpec {
  /** Of the probabilities; 1 when left out. */
  readonly seed?: number;
  readonly faults: readonly FaultSpec[];
}

/** Conditions on a command, all of them filled in; `notGiven` is no condition. */
export interface CheckedMatch {
  readonly opcode: number;
  readonly isAdmin: boolean;
  readonly queue: number;
  readonly lba: number;
  readonly blockCount: number;
  readonly first: number;
  readonly every: number;
  readonly probability: number;
}

/** A fault whose every field was checked and filled in. */
export interface Fault {
  readonly kind: FaultKind;
  readonly moment: 'event' | 'time' | 'command';
  /** Event number or time; 0 for commands. */
  readonly at: number;
  readonly match: CheckedMatch;
  readonly card: number;
  readonly functionIndex: number;
  readonly namespace: number;
  readonly drive: number;
  readonly count: number;
  readonly values: ReadonlyMap<FaultFieldName, number>;
}

export interface FaultPlan {
  readonly seed: number;
  readonly faults: readonly Fault[];
  /** As it was given, in JSON: `checkFaultPlan(JSON.parse(source))` makes it again. */
  readonly source: string;
}

/**
 * Check a plan before anything runs: every kind, field and value.
 *
 * @param plan  a `FaultPlanSpec`, or what JSON.parse made of a file
 * @throws UltimaError FAULT_PLAN_INVALID naming the field and what it may be
 */
export function checkFaultPlan(plan: unknown): FaultPlan {
  const top = objectAt(plan, 'the plan');
  knownOnly(top, ['seed', 'faults'], 'the plan');
  const seed = numberAt(top, 'seed', wholeNumber(1), 'seed');
  const list: unknown = top.faults;
  if (!Array.isArray(list)) throw invalidPlan('faults', `${shown(list)}: a list of faults`);
  const faults = list.map((fault: unknown, i) => checkFault(fault, `faults[${i}]`));
  return { seed, faults, source: JSON.stringify(plan) };
}

/** The value of a field that the kind has. */
export function faultValue(fault: Fault, name: FaultFieldName): number {
  return fault.values.get(name) ?? notGiven;
}

type Fields = Readonly<Record<string, unknown>>;

const anyCount = 1e15;

function wholeNumber(fallback: number | undefined, min = 0, max = anyCount): FaultField {
  return { min, max, fallback, text: '' };
}

function checkFault(value: unknown, at: string): Fault {
  const given = objectAt(value, at);
  const kind: unknown = given.kind;
  if (typeof kind !== 'string' || !isFaultKind(kind)) {
    throw invalidPlan(`${at}.kind`, `${shown(kind)}: one of ${faultKindNames.join(', ')}`);
  }
  const rule = ruleOf(kind);
  const own = Object.entries(rule.fields);
  knownOnly(given, ['kind', 'when', 'where', 'count', ...own.map(([name]) => name)], at);
  const values = new Map<FaultFieldName, number>();
  for (const name of fieldNames) {
    const field = rule.fields[name];
    if (field !== undefined) values.set(name, numberAt(given, name, field, `${at}.${name}`));
  }
  const when = checkMoment(given.when, `${at}.when`);
  if (rule.scope === 'a command' && when.moment !== 'command') {
    throw invalidPlan(`${at}.when`, `${shown(given.when)}: ${kind} strikes a command only`);
  }
  const needsBlock = values.get('lba') === notGiven && when.moment !== 'command';
  if (needsBlock)
    throw invalidPlan(`${at}.lba`, 'missing: without a command nobody says which block');
  const where = checkPlace(given.where, `${at}.where`);
  const count = numberAt(given, 'count', wholeNumber(1, 1), `${at}.count`);
  if (count > 1 && when.moment !== 'command') {
    throw invalidPlan(`${at}.count`, `${count}: only faults at commands strike more than once`);
  }
  return { kind, ...when, ...where, count, values };
}

const fieldNames: readonly FaultFieldName[] = [
  'addNs',
  'bit',
  'blockCount',
  'code',
  'die',
  'field',
  'forNs',
  'ignoresAbort',
  'isProtected',
  'kelvin',
  'lba',
  'operations',
  'restoreAfterNs',
  'upAfterNs',
  'vector',
];

const anyCommand: CheckedMatch = {
  opcode: notGiven,
  isAdmin: false,
  queue: notGiven,
  lba: notGiven,
  blockCount: 1,
  first: 1,
  every: 1,
  probability: 1,
};

const moments = ['event', 'atNs', 'command'] as const;

function checkMoment(value: unknown, at: string): Pick<Fault, 'moment' | 'at' | 'match'> {
  const given = objectAt(value, at);
  knownOnly(given, moments, at);
  const [which, ...others] = moments.filter((name) => given[name] !== undefined);
  if (which === undefined || others.length > 0) {
    throw invalidPlan(at, `${shown(value)}: exactly one of ${moments.join(', ')}`);
  }
  if (which === 'command') {
    return { moment: 'command', at: 0, match: checkMatch(given[which], `${at}.command`) };
  }
  const moment = which === 'event' ? 'event' : 'time';
  const when = numberAt(given, which, wholeNumber(undefined), `${at}.${which}`);
  return { moment, at: when, match: anyCommand };
}

function checkMatch(value: unknown, at: string): CheckedMatch {
  const given = objectAt(value, at);
  const names = ['opcode', 'queue', 'lba', 'blockCount', 'first', 'every', 'probability'];
  knownOnly(given, names, at);
  const probability: unknown = given.probability ?? 1;
  if (typeof probability !== 'number' || !(probability > 0 && probability <= 1)) {
    throw invalidPlan(`${at}.probability`, `${shown(probability)}: above 0, up to 1`);
  }
  return {
    ...opcodeAt(given.opcode, `${at}.opcode`),
    queue: numberAt(given, 'queue', wholeNumber(notGiven, 0, 65_535), `${at}.queue`),
    lba: numberAt(given, 'lba', wholeNumber(notGiven), `${at}.lba`),
    blockCount: numberAt(given, 'blockCount', wholeNumber(1, 1), `${at}.blockCount`),
    first: numberAt(given, 'first', wholeNumber(1, 1), `${at}.first`),
    every: numberAt(given, 'every', wholeNumber(1, 1), `${at}.every`),
    probability,
  };
}

function opcodeAt(name: unknown, at: string): Pick<CheckedMatch, 'opcode' | 'isAdmin'> {
  if (name === undefined) return { opcode: notGiven, isAdmin: false };
  for (const [known, opcode] of Object.entries(NvmOpcode)) {
    if (known === name) return { opcode, isAdmin: false };
  }
  for (const [known, opcode] of Object.entries(AdminOpcode)) {
    if (known === name) return { opcode, isAdmin: true };
  }
  const all = [...Object.keys(NvmOpcode), ...Object.keys(AdminOpcode)].join(', ');
  throw invalidPlan(at, `${shown(name)}: one of ${all}`);
}

function checkPlace(
  value: unknown,
  at: string,
): Pick<Fault, 'card' | 'functionIndex' | 'namespace' | 'drive'> {
  const given = value === undefined ? {} : objectAt(value, at);
  knownOnly(given, ['card', 'function', 'namespace', 'drive'], at);
  return {
    card: numberAt(given, 'card', wholeNumber(notGiven, 0, 65_535), `${at}.card`),
    functionIndex: numberAt(given, 'function', wholeNumber(0, 0, 65_535), `${at}.function`),
    drive: numberAt(given, 'drive', wholeNumber(0, 0, 65_535), `${at}.drive`),
    namespace: numberAt(given, 'namespace', wholeNumber(1, 1, 1024), `${at}.namespace`),
  };
}

function numberAt(given: Fields, name: string, field: FaultField, at: string): number {
  const value = given[name];
  if (value === undefined) {
    if (field.fallback === undefined) throw invalidPlan(at, `missing: ${rangeText(field)}`);
    return field.fallback;
  }
  if (field.words !== undefined) {
    const place = field.words.indexOf(String(value));
    if (place >= 0) return place;
  } else if (typeof value === 'number' && Number.isSafeInteger(value)) {
    if (value >= field.min && value <= field.max) return value;
  }
  throw invalidPlan(at, `${shown(value)}: ${rangeText(field)}`);
}

function rangeText(field: FaultField): string {
  const range = field.words?.join(' or ') ?? `an integer ${field.min}..${field.max}`;
  return field.text === '' ? range : `${range} (${field.text})`;
}

function objectAt(value: unknown, at: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidPlan(at, `${shown(value)}: an object with fields`);
  }
  return Object.fromEntries(Object.entries(value));
}

function knownOnly(given: Fields, names: readonly string[], at: string): void {
  for (const name of Object.keys(given)) {
    if (names.includes(name)) continue;
    throw invalidPlan(`${at}.${name}`, `no such field; the fields here are ${names.join(', ')}`);
  }
}

function shown(value: unknown): string {
  return value === undefined ? 'missing' : JSON.stringify(value).slice(0, 80);
}

/** A field of a plan that cannot be, with what it may be. */
export function invalidPlan(field: string, what: string): UltimaError {
  return new UltimaError(ErrorCode.faultPlanInvalid, `fault plan: ${field} ${what}`, { field });
}
