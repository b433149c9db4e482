/**
 * Reasons for which a test may skip when CI is set: things that a machine may lack and that no
 * package brings. Any other skip is a failure there.
 */
const always: readonly RegExp[] = [
  /^no VFIO device\b/,
  /^no loop device\b/,
  /^no headless browser\b/,
  /^running as root\b/,
  /^no \/proc\b/,
];

/**
 * What none of the simulated cards that the conformance suite runs on is like. Whatever else a
 * named card does not offer is shown on them, so that no statement goes untried.
 */
export const notOnSimulatedCards: readonly string[] = [
  'absence of fused commands',
  'more ranges than MCL needs',
  'refusal of long SGLs',
];

const onSimulatedCards: readonly RegExp[] = [
  new RegExp(`^the card does not offer (${notOnSimulatedCards.join('|')})$`),
];

/** A card that `ULTIMA_DEVICE` names may lack anything. */
const onNamedCard: readonly RegExp[] = [/^the card does not offer\b/];

/** The addon is optional; ULTIMA_NATIVE=1 says that this machine must have it. */
const withoutCompiler: readonly RegExp[] = [/^native addon: the native addon is not built\b/];

export function allowedSkips(needsAddon: boolean): readonly RegExp[] {
  const hasNamedCard = process.env.ULTIMA_DEVICE !== undefined;
  const ofCards = hasNamedCard ? onNamedCard : onSimulatedCards;
  return [...always, ...ofCards, ...(needsAddon ? [] : withoutCompiler)];
}
