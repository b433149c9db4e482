import { UltimaError } from '../../sdk/errors.js';

const typeAndCode = 0x7ff;

/** Status code type and code with which something ends, 0 when it goes well. */
export async function nvmeStatusOf(work: Promise<unknown>): Promise<number> {
  try {
    await work;
    return 0;
  } catch (error) {
    if (!(error instanceof UltimaError)) throw error;
    return Number(error.facts.detail ?? error.facts.status) & typeAndCode;
  }
}
