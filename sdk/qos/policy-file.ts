import { unitBytes } from './cost.js';
import { bestEffort, type Tier, TierTable } from './tiers.js';

/** Who is promised what on a card: plain data, the same for every card. */
export interface QosPolicy {
  /** Besides the three that every card has, or in their place; best-effort stays as it is. */
  readonly tiers?: readonly Tier[];
  /** Name of the tier of each namespace; the others are best effort. */
  readonly namespaces: Readonly<Record<number, string>>;
}

/** A tier in JSON, which has no Infinity: no maximum is null. */
export interface TierJson {
  readonly name: string;
  readonly minIops: number;
  readonly minBytesPerSecond: number;
  readonly maxIops: number | null;
  readonly maxBytesPerSecond: number | null;
  readonly weight: number;
  readonly burst?: number;
  readonly latencyTargetNs?: number;
}

export interface PolicyJson {
  readonly tiers: readonly TierJson[];
  readonly namespaces: Readonly<Record<string, string>>;
}

const mostNamespaces = 0xffff_fffe;
/** The thousandths in which a card keeps weights. */
const weightStep = 1_000;

interface NumberRule {
  readonly low: number;
  readonly high: number;
  /** What is meant when it is left out, or null where that can be. */
  readonly absent?: number;
}

const none = Number.POSITIVE_INFINITY;
const numberRules = {
  minIops: { low: 0, high: 1e9, absent: 0 },
  minBytesPerSecond: { low: 0, high: 1e12, absent: 0 },
  maxIops: { low: 1, high: 1e9, absent: none },
  maxBytesPerSecond: { low: 1, high: 1e9 * unitBytes, absent: none },
  burst: { low: 1, high: 1e9 },
  latencyTargetNs: { low: 1, high: Number.MAX_SAFE_INTEGER },
} satisfies Record<string, NumberRule>;

const tierFields = ['name', 'weight', ...Object.keys(numberRules)];

/**
 * A policy out of what JSON.parse made of a file: `{"tiers": [..], "namespaces": {"1": "high"}}`.
 * A tier needs a name alone; what is left out is none, and 1 for the weight.
 *
 * @throws RangeError that names the place, the value and what it can be
 */
export function policyFrom(value: unknown): QosPolicy {
  const top = objectAt(value, 'the policy', ['tiers', 'namespaces']);
  const list: unknown = top.tiers ?? [];
  if (!Array.isArray(list)) throw wrong('tiers', list, 'a list of tiers');
  const tiers = list.map((tier: unknown, index) => tierFrom(tier, `tiers[${index}]`));
  const table = new TierTable();
  for (const [index, tier] of tiers.entries()) {
    if (tiers.findIndex(({ name }) => name === tier.name) < index) {
      throw wrong(`tiers[${index}].name`, tier.name, 'a name that no tier before has');
    }
    setIn(table, tier, `tiers[${index}]`);
  }
  const names = table.list().map(({ name }) => name);
  const given = objectAt(top.namespaces ?? {}, 'namespaces');
  const namespaces: Record<number, string> = {};
  for (const [key, name] of Object.entries(given)) {
    const nsid = /^[1-9]\d{0,9}$/.test(key) ? Number(key) : 0;
    if (nsid < 1 || nsid > mostNamespaces) {
      throw wrong('a key of namespaces', key, `a whole number 1..${mostNamespaces}`);
    }
    if (typeof name !== 'string' || !names.includes(name)) {
      throw wrong(`namespaces[${key}]`, name, `one of ${names.join(', ')}`);
    }
    namespaces[nsid] = name;
  }
  return { tiers, namespaces };
}

function setIn(table: TierTable, tier: Tier, at: string): void {
  try {
    table.set(tier);
  } catch (error) {
    throw error instanceof RangeError ? new RangeError(`${at}: ${error.message}`) : error;
  }
}

/** The same policy for a file, as `policyFrom` takes it; tiers by name. */
export function policyJson(policy: QosPolicy): PolicyJson {
  const orNull = (value: number): number | null => (value === none ? null : value);
  const tiers = [...(policy.tiers ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    tiers: tiers.map(({ maxIops, maxBytesPerSecond, ...rest }) => ({
      ...rest,
      maxIops: orNull(maxIops),
      maxBytesPerSecond: orNull(maxBytesPerSecond),
    })),
    namespaces: { ...policy.namespaces },
  };
}

function tierFrom(value: unknown, at: string): Tier {
  const given = objectAt(value, at, tierFields);
  const { name } = given;
  if (typeof name !== 'string') throw wrong(`${at}.name`, name, 'a text');
  const required = (field: 'minIops' | 'minBytesPerSecond' | 'maxIops' | 'maxBytesPerSecond') =>
    numberAt(given, field, at) ?? numberRules[field].absent;
  const weight = given.weight ?? 1;
  const isWeight = typeof weight === 'number' && weight >= 0.001 && weight <= 1_000_000;
  if (!isWeight || Math.abs(Math.round(weight * weightStep) / weightStep - weight) > 1e-9) {
    throw wrong(`${at}.weight`, weight, 'a number 0.001..1000000 in whole thousandths');
  }
  const burst = numberAt(given, 'burst', at);
  const latencyTargetNs = numberAt(given, 'latencyTargetNs', at);
  return {
    ...bestEffort,
    name,
    minIops: required('minIops'),
    minBytesPerSecond: required('minBytesPerSecond'),
    maxIops: required('maxIops'),
    maxBytesPerSecond: required('maxBytesPerSecond'),
    weight,
    ...(burst === null ? {} : { burst }),
    ...(latencyTargetNs === null ? {} : { latencyTargetNs }),
  };
}

/** @returns null for a number that is left out, or null where that can be */
function numberAt(given: Fields, field: keyof typeof numberRules, at: string): number | null {
  const { low, high }: NumberRule = numberRules[field];
  const value = given[field];
  if (value === undefined || value === null) return null;
  const isWhole = typeof value === 'number' && Number.isInteger(value);
  if (isWhole && value >= low && value <= high) return value;
  const orNone = low === 0 ? '' : '; null for none';
  throw wrong(`${at}.${field}`, value, `a whole number ${low}..${high}${orNone}`);
}

type Fields = Readonly<Record<string, unknown>>;

function objectAt(value: unknown, at: string, known?: readonly string[]): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrong(at, value, 'an object');
  }
  const fields = Object.fromEntries(Object.entries(value));
  const other =
    known === undefined ? undefined : Object.keys(fields).find((k) => !known.includes(k));
  if (other === undefined) return fields;
  throw new RangeError(`${at} has '${other}'; there can be ${(known ?? []).join(', ')}`);
}

function wrong(at: string, value: unknown, what: string): RangeError {
  const shown = value === undefined ? 'missing' : JSON.stringify(value);
  return new RangeError(`${at} is ${shown}; it must be ${what}`);
}
