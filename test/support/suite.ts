import { suite as makeSuite } from 'uvu';

type Body = () => unknown;

export interface Suite {
  (title: string, body: Body): void;
  before: Hook;
  after: Hook;
  run(): void;
}

interface Hook {
  (body: Body): void;
  each(body: Body): void;
}

let declared = 0;
let passed = 0;
const hookErrors: string[] = [];
const limitMs = Number(process.env.TEST_LIMIT_MS ?? 20_000);

/**
 * A uvu suite whose silent failures are closed: every test has a time limit, everything thrown
 * becomes an Error with a name, a failing hook fails the file, and at exit the number of tests
 * declared must equal the number passed. Tests import `suite` from here, never from uvu.
 */
export function suite(name: string): Suite {
  const inner = makeSuite(name);
  const test = (title: string, body: Body): void => {
    declared++;
    inner(title, async () => {
      await withLimit(body, title);
      passed++;
    });
  };
  return Object.assign(test, {
    before: hook(inner.before, `${name} before`),
    after: hook(inner.after, `${name} after`),
    run: () => inner.run(),
  });
}

/** A test that cannot run here prints why; the runner counts it, CI refuses what it expects not. */
export function skip(reason: string): void {
  console.log(`\nSKIP ${reason}`);
}

function hook(register: Register, what: string): Hook {
  const once = (body: Body): void =>
    register(async () => {
      try {
        await withLimit(body, what);
      } catch (error) {
        hookErrors.push(`${what}: ${asError(error).stack}`);
      }
    });
  const each = (body: Body): void =>
    register.each(async () => {
      try {
        await withLimit(body, `${what}.each`);
      } catch (error) {
        hookErrors.push(`${what}.each: ${asError(error).stack}`);
      }
    });
  return Object.assign(once, { each });
}

interface Register {
  (body: () => Promise<void>): void;
  each(body: () => Promise<void>): void;
}

async function withLimit(body: Body, what: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: over ${limitMs} ms`)), limitMs);
  });
  try {
    await Promise.race([body(), late]);
  } catch (error) {
    throw asError(error);
  } finally {
    clearTimeout(timer);
  }
}

function asError(thrown: unknown): Error {
  if (thrown instanceof Error && typeof thrown.name === 'string') return thrown;
  return new Error(`non-Error thrown: ${String(thrown)}`);
}

process.on('exit', () => {
  if (hookErrors.length === 0 && declared > 0 && passed === declared) return;
  console.error(`${passed} of ${declared} declared tests passed`, ...hookErrors);
  process.exitCode = 1;
});
