import { faultKindNames, ruleOf } from '../faults/kinds.js';
import type { FaultPlan } from '../faults/plan.js';
import type { CardInside } from '../open.js';
import { readFaultPlan } from '../testing/fault-plan.js';
import type { Terminal } from './terminal.js';

/** The plan that `--faults` names; undefined without it. */
export async function faultsOf(path: string | undefined): Promise<FaultPlan | undefined> {
  return path === undefined ? undefined : readFaultPlan(path);
}

/** What became of each fault of the plan, a line each. */
export function sayFaults(inside: CardInside | null, terminal: Terminal): void {
  for (const { kind, struck, matched, lastNs } of inside?.faults() ?? []) {
    const met = matched === 0 ? '' : `, ${matched} commands met its conditions`;
    const when = struck === 0 ? 'never struck' : `struck ${struck} times, last at ${lastNs} ns`;
    terminal.say(`fault  ${kind}: ${when}${met}`);
  }
}

/** Every kind with its fields, for help and documents. */
export function faultTable(): string {
  return faultKindNames
    .map((kind) => {
      const rule = ruleOf(kind);
      const fields = Object.entries(rule.fields).map(([name, field]) => {
        const range = field.words?.join('|') ?? `${field.min}..${field.max}`;
        return `    ${name} ${range}: ${field.text}`;
      });
      return [
        `  ${kind} (${rule.scope}): ${rule.text}`,
        `    survives: ${rule.survives}`,
        ...fields,
      ].join('\n');
    })
    .join('\n');
}
