/** A fault of ours: a broken promise inside this package. Never caught, on in production. */
export class AssertionFailure extends Error {
  override readonly name = 'AssertionFailure';
}

/**
 * State a fact that must hold. The message is a constant string: building one per call costs
 * fifty times the check itself.
 *
 * @throws AssertionFailure when `fact` is false
 */
export function assert(fact: boolean, message: string): asserts fact {
  if (!fact) throw new AssertionFailure(message);
}
