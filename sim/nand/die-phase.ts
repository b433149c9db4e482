/** What a die does. */
export const Phase = {
  idle: 0,
  /** Command phase and cell array; `endAtNs` is its end. */
  array: 1,
  /** Its page register waits for the bus or is on it, and nothing else can start. */
  register: 2,
  /** Not to be used until `endAtNs`: it is being interrupted, hands a page over, or is stalled. */
  pause: 3,
} as const;
