import { readFile } from 'node:fs/promises';
import { ErrorCode, UltimaError } from '../errors.js';
import { checkFaultPlan, type FaultPlan } from '../faults/plan.js';

/**
 * Read a fault plan from a JSON file and check every field of it.
 *
 * @throws UltimaError FILE_INVALID when it cannot be read or is no JSON, FAULT_PLAN_INVALID naming
 *         the field that is wrong
 */
export async function readFaultPlan(path: string): Promise<FaultPlan> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw unusable(path, 'cannot be read', error);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw unusable(path, 'is no JSON', error);
  }
  return checkFaultPlan(parsed);
}

function unusable(path: string, what: string, cause: unknown): UltimaError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new UltimaError(
    ErrorCode.fileInvalid,
    `fault plan ${path} ${what}: ${why}`,
    { path },
    cause,
  );
}
