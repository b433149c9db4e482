/**
 * Reasons for which a test may skip when CI is set: things that a machine may lack and that no
 * package brings. Any other skip is a failure there.
 */
const always: readonly RegExp[] = [
  /^no VFIO device\b/,
  /^no headless browser\b/,
  /^running as root\b/,
  /^no \/proc\b/,
  /^the card does not offer\b/,
];

/** The addon is optional; ULTIMA_NATIVE=1 says that this machine must have it. */
const withoutCompiler: readonly RegExp[] = [/^native addon: the native addon is not built\b/];

export function allowedSkips(needsAddon: boolean): readonly RegExp[] {
  return needsAddon ? always : [...always, ...withoutCompiler];
}
