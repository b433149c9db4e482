import { HostReservations, type How } from '../reservations/host.js';
import { blockStatusOf } from './block-status.js';
import type { IoCommands } from './io-commands.js';
import { type IoOptions, ioError } from './io-options.js';
import type { NamespaceFormat } from './namespace-format.js';
import { SlotEnd } from './submission-queue.js';

/** Reservations of one namespace, by commands on its queue pair. */
export class Reservations extends HostReservations<IoOptions> {
  private readonly commands: IoCommands;

  constructor({ nsid, words }: Pick<NamespaceFormat, 'nsid' | 'words'>, commands: IoCommands) {
    super(nsid, words);
    this.commands = commands;
  }

  protected async send(
    words: Uint32Array,
    data: Uint32Array,
    { isToHost, options = {} }: How<IoOptions>,
  ): Promise<number> {
    const length = data.length * 4;
    const region = this.commands.memory.allocate(length);
    try {
      region.words.set(data);
      const slices = [{ region, offset: 0, length }];
      const [result] = await this.commands.run([{ words, data: slices }], options);
      if (isToHost) data.set(region.words.subarray(0, data.length));
      return result!.status;
    } finally {
      this.commands.memory.free(region);
    }
  }

  protected errorOf(detail: number): Error {
    const status = blockStatusOf(SlotEnd.completed, detail);
    return ioError('reservation command', { status, detail, cause: 'none' });
  }
}
