import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { secondNs } from '../../sdk/units.js';

export interface NumberRule {
  readonly kind: 'number';
  readonly min: number;
  readonly max: number;
  readonly isPowerOfTwo: boolean;
}
export interface TextRule {
  readonly kind: 'text';
  readonly min: number;
  readonly max: number;
  /** The only values, when there are such. */
  readonly values: readonly string[];
}
export interface FlagRule {
  readonly kind: 'flag';
}
export interface ListRule {
  readonly kind: 'list';
  readonly min: number;
  readonly max: number;
  readonly item: GroupRule;
}
export interface GroupRule {
  readonly [field: string]: Rule;
}
/** A group that may be null. */
export interface OptionalRule {
  readonly kind: 'optional';
  readonly group: GroupRule;
}
type Leaf = NumberRule | TextRule | FlagRule | ListRule | OptionalRule;
export type Rule = Leaf | GroupRule;

/** The rule that a field of this type must have: a new field without a rule does not compile. */
export type RuleOf<T> = null extends T
  ? OptionalRule
  : T extends number
    ? NumberRule
    : T extends string
      ? TextRule
      : T extends boolean
        ? FlagRule
        : T extends readonly unknown[]
          ? ListRule
          : { readonly [K in keyof T]: RuleOf<T[K]> };

export const integer = (min: number, max: number): NumberRule => ({
  kind: 'number',
  min,
  max,
  isPowerOfTwo: false,
});
export const powerOfTwo = (min: number, max: number): NumberRule => ({
  kind: 'number',
  min,
  max,
  isPowerOfTwo: true,
});
export const text = (min: number, max: number): TextRule => ({
  kind: 'text',
  min,
  max,
  values: [],
});
export const oneOf = (...values: readonly string[]): TextRule => ({
  kind: 'text',
  min: 1,
  max: 40,
  values,
});
export const list = (min: number, max: number, item: GroupRule): ListRule => ({
  kind: 'list',
  min,
  max,
  item,
});
export const flag: FlagRule = { kind: 'flag' };
export const timeNs = integer(0, 1000 * secondNs);
export const optional = (group: GroupRule): OptionalRule => ({ kind: 'optional', group });

/** @throws UltimaError PROFILE_INVALID that names the field, its value and the range */
export function check(value: unknown, rule: Rule, place: string): void {
  if (isLeaf(rule)) {
    checkLeaf(value, rule, place);
    return;
  }
  if (typeof value !== 'object' || value === null) refuse(place, value, 'a group of fields');
  for (const key of Object.keys(value)) {
    if (!Object.hasOwn(rule, key)) refuse(join(place, key), '', 'no such field');
  }
  for (const [key, inner] of Object.entries(rule)) {
    const field: unknown = Reflect.get(value, key);
    check(field, inner, join(place, key));
  }
}

function checkLeaf(value: unknown, rule: Leaf, at: string): void {
  if (rule.kind === 'flag') {
    if (typeof value !== 'boolean') refuse(at, value, 'true or false');
    return;
  }
  if (rule.kind === 'optional') {
    if (value !== null) check(value, rule.group, at);
    return;
  }
  const range = `${rule.min}..${rule.max}`;
  if (rule.kind === 'number') {
    const isIn = Number.isSafeInteger(value) && Number(value) >= rule.min;
    if (!isIn || Number(value) > rule.max) refuse(at, value, `an integer ${range}`);
    if (rule.isPowerOfTwo && !Number.isInteger(Math.log2(Number(value)))) {
      refuse(at, value, `a power of two ${range}`);
    }
  } else if (rule.kind === 'text' && rule.values.length > 0) {
    const isKnown = typeof value === 'string' && rule.values.includes(value);
    if (!isKnown) refuse(at, value, `one of ${rule.values.join(', ')}`);
  } else if (rule.kind === 'text') {
    const isText = typeof value === 'string' && /^[\x20-\x7e]*$/.test(value);
    if (!isText || value.length < rule.min || value.length > rule.max) {
      refuse(at, value, `${range} ASCII characters`);
    }
  } else {
    const isList = Array.isArray(value) && value.length >= rule.min && value.length <= rule.max;
    if (!isList) refuse(at, '', `a list of ${range} items`);
    value.forEach((item: unknown, index) => {
      check(item, rule.item, `${at}[${index}]`);
    });
  }
}

function isLeaf(rule: Rule): rule is Leaf {
  return typeof rule.kind === 'string';
}

function join(place: string, key: string): string {
  return place === '' ? key : `${place}.${key}`;
}

export function refuse(field: string, value: unknown, range: string): never {
  throw new UltimaError(
    ErrorCode.profileInvalid,
    `profile field ${field} = ${String(value)}: must be ${range}`,
    { field, value: String(value), range },
  );
}
