import { join } from 'node:path';
import type { ServedCard, ServeOptions } from '../serve.js';
import { parseWords, usageError } from './arguments.js';
import { faultsOf } from './fault-option.js';
import { secondsOf, signalled } from './serving.js';
import type { Terminal } from './terminal.js';

const statusMs = 1000;

/** `ultima serve card`; the text about it is with the verb. */
export async function serveCards(words: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseWords(words, {
    'vfio-user': { type: 'string' },
    'time-scale': { type: 'string' },
    movable: { type: 'boolean' },
    faults: { type: 'string' },
    status: { type: 'string' },
  });
  const addresses = positionals;
  if (addresses.length === 0) {
    throw usageError("say what to serve: 'ultima serve card sim:ultima-g2 --vfio-user DIR'");
  }
  const real = addresses.find((address) => !address.startsWith('sim:'));
  if (real !== undefined) {
    throw usageError(`${real} cannot be served; simulated cards can, such as sim:ultima-g2`);
  }
  const folder = values['vfio-user'];
  if (folder === undefined || folder === '') {
    throw usageError('--vfio-user DIR says where the socket shall be');
  }
  const options = {
    timeScale: scaleOf(values['time-scale']),
    faults: await faultsOf(values.faults),
    isMovable: values.movable === true,
  };
  const everyMs = secondsOf(values.status);
  const cards = await serveAll(addresses, folder, options);
  for (const [i, { path }] of cards.entries()) {
    terminal.say(`ultima: ${addresses[i]} is served at vfio-user:${path}`);
  }
  const lines = cards.map((card, i) => new StatusLine(addresses[i]!, card));
  const show = (): void => {
    for (const line of lines) {
      const text = line.next(everyMs ?? statusMs);
      if (everyMs === null) terminal.progress(text);
      else terminal.say(text);
    }
  };
  const timer = setInterval(show, everyMs ?? statusMs);
  const signal = await signalled();
  clearInterval(timer);
  for (const card of cards) await card.close();
  terminal.say(`ultima: ${signal}: ${cards.length === 1 ? 'the card is' : 'all cards are'} closed`);
  return 0;
}

/** All or none. */
async function serveAll(
  addresses: readonly string[],
  folder: string,
  options: ServeOptions,
): Promise<ServedCard[]> {
  const { serveCard } = await import('../serve.js');
  const cards: ServedCard[] = [];
  try {
    for (const [i, address] of addresses.entries()) {
      const place = addresses.length === 1 ? folder : join(folder, `${i}`);
      cards.push(await serveCard(address, place, options));
    }
  } catch (error) {
    for (const card of cards) await card.close();
    throw error;
  }
  return cards;
}

function scaleOf(text: string | undefined): number | 'free' {
  if (text === undefined) return 1;
  if (text === 'free') return 'free';
  const scale = /^\d*\.?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (scale > 0 && scale <= 1e6) return scale;
  throw usageError(`--time-scale is ${text}; it must be a number up to 1000000, or free`);
}

/** 'sim:ultima-g2  client 1, 4 queues, 812345 IOPS, 0 DMA faults, 0 misuses' */
class StatusLine {
  private readonly address: string;
  private readonly card: ServedCard;
  private completedCount = 0;

  constructor(address: string, card: ServedCard) {
    this.address = address;
    this.card = card;
  }

  next(passedMs: number): string {
    const status = this.card.status();
    const iops = Math.round(((status.completedCount - this.completedCount) * 1000) / passedMs);
    this.completedCount = status.completedCount;
    const last = status.lastClose === '' ? '' : ` (the last one: ${status.lastClose})`;
    const peer = status.isConnected ? `client ${status.sessionCount}` : `no client${last}`;
    return (
      `${this.address}  ${peer}, ${status.ioQueueCount} queues, ${iops} IOPS, ` +
      `${status.dmaFaultCount} DMA faults, ${status.reportCount} misuses`
    );
  }
}
