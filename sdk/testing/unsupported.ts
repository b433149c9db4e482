/** A test asks for something that this device does not have: the test is skipped, and says why. */
export class Unsupported extends Error {
  override readonly name = 'Unsupported';

  /** @param what  completes the sentence 'the card does not offer …' */
  constructor(what: string) {
    super(`the card does not offer ${what}`);
  }
}
