import type { Command } from '../command.js';
import type { CommandServices } from '../executor.js';
import type { Namespace } from '../namespace.js';

/** What drives know about their wear. */
export interface MediaWear {
  /** Spare blocks left, of those at the factory; the worst drive's. */
  readonly sparePercent: number;
  /** Of the life that the maker promises; the most worn drive's. */
  readonly usedPercent: number;
  /** Written to the medium: for the host, and by garbage collection and the map. */
  readonly mediaWrittenBytes: number;
  readonly isReadOnly: boolean;
}

/**
 * The time that media need, and what they know about themselves. One model serves all controllers
 * of a card. The bytes are in `Medium`: a model never sees them.
 *
 * Each of the calls with a command ends in its `finish`, through `services.delay` or
 * `services.resume`; it may set `command.mediaStatus` before. The caller has checked the range.
 */
export interface MediaModel {
  /** One 4 KiB read without a queue, for Identify. */
  readonly typicalReadNs: number;
  /** What `eraseAll` takes at the most. */
  readonly eraseAllNs: number;
  /** The media take no writes any more, for ever. */
  readonly isReadOnly: boolean;

  read(
    services: CommandServices,
    command: Command,
    namespace: Namespace,
    lba: number,
    count: number,
  ): void;

  /** The data is in the card or on its way. @param isForced  it has to be durable at the end */
  write(
    services: CommandServices,
    command: Command,
    namespace: Namespace,
    lba: number,
    count: number,
    isForced: boolean,
  ): void;

  /** `count` blocks from `source` on are read, then as many from `lba` on written. */
  update(
    services: CommandServices,
    command: Command,
    namespace: Namespace,
    source: number,
    lba: number,
    count: number,
  ): void;

  /** @param dirtyPages  what the write caches of the namespaces hold */
  flush(services: CommandServices, command: Command, dirtyPages: number): void;

  /** Work on the map alone. @param pieces  ranges */
  manage(services: CommandServices, command: Command, pieces: number): void;

  /** A block does not come: it is tried again so often, within the limit. */
  retry(services: CommandServices, command: Command, attempts: number, limitNs: number): void;

  /** Blocks whose content is forgotten now. */
  deallocate(namespace: Namespace, lba: number, count: number): void;

  /** A namespace is there, with its size; it comes without content. */
  place(namespace: Namespace): void;
  /** A namespace was formatted, or goes. */
  forget(namespace: Namespace): void;
  remove(namespace: Namespace): void;
  /** Every block of the media is erased, those that no namespace has too. */
  eraseAll(): void;

  /** As if everything had been written once, in order, before the first command. */
  fill(): void;

  /** @returns null when the media do not wear */
  wear(): MediaWear | null;

  /** Beside the firmware's own time: what a shutdown must still make durable. */
  shutdownNs(dirtyPages: number): number;
  /**
   * The power went, after each controller was reset.
   *
   * @param isProtected  capacitors last until everything is safe, whatever the profile says
   */
  powerLost(isProtected: boolean): void;
  powerRestored(): void;
}
