/** Why the data of a block moves. */
export const Reason = { none: 0, garbage: 1, wear: 2, refresh: 3, failed: 4 } as const;
