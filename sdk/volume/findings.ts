/** Something on the devices that is not as it was written. */
export interface Finding {
  /**
   * mended: one wrong bit, right again in memory, and on the device after the next checkpoint or
   * repair; copy: one of two copies is bad; lost: no good copy is left.
   */
  readonly kind: 'mended' | 'copy' | 'lost' | 'inconsistent';
  /** 'label', 'superblock', 'image', 'journal', 'node 17', 'unit 4711' */
  readonly what: string;
  /** In words: what was found, and what it means. */
  readonly text: string;
  /** Names of the volumes and snapshots that it costs; none for most. */
  readonly costs: readonly string[];
}
