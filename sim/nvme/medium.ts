/** What admin commands and the power do to the blocks of a namespace. */
export interface Medium {
  /** Blocks that are allocated: written and not deallocated since. */
  readonly usedBlocks: number;
  /** Writes may complete before they are durable: a volatile cache is there and enabled. */
  readonly isCacheVolatile: boolean;
  /** Feature 06h. Turning the cache off makes everything durable first. @returns 0 or a status */
  setCacheEnabled(isEnabled: boolean): number;
  /** Make everything durable. @returns 0 or a status */
  flush(): number;
  /** Forget everything, all blocks deallocated, with this geometry from now on. Durable at once. */
  reformat(dataBytes: number, metadataBytes: number): void;
  /** Power goes away now: unflushed writes survive, or not, in any order, torn at the atomic unit. */
  cutPower(): void;
}
