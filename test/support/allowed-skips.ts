/**
 * Reasons for which a test may skip when CI is set: things that a machine may lack and that no
 * package brings. Any other skip is a failure there.
 */
export const allowedSkips: readonly RegExp[] = [
  /^no VFIO device\b/,
  /^native addon not built\b/,
  /^no headless browser\b/,
  /^running as root\b/,
  /^no \/proc\b/,
  /^the card does not offer\b/,
];
