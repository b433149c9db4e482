import { join } from 'node:path';
import type { ServedCard, ServeOptions } from '../serve.js';
import { parseWords, usageError } from './arguments.js';
import { faultsOf } from './fault-option.js';
import type { Terminal } from './terminal.js';

export const usage = `
usage: ultima serve card CARD [CARD ...] --vfio-user DIR [options]

Serve simulated cards as PCI devices to programs that speak vfio-user, until a signal (SIGINT,
SIGTERM) ends it. No root, no kernel module. A card takes one client at a time; the next one waits.

  CARD              sim:ultima-g2, as for every other command; file=PATH in it keeps the data
  --vfio-user DIR   the socket is DIR/cntrl; of several cards DIR/0/cntrl, DIR/1/cntrl ...
  --time-scale N    virtual nanoseconds per real one: 0.1 is a card ten times slower, 1 as it is
                    (the default); free: the card takes no time of its own
  --faults PLAN     what goes wrong, and when; 'ultima faults' lists what there is
  --status SECONDS  a line about every card so often, also where no terminal is

A client
  ultima id-ctrl vfio-user:DIR/cntrl
  ultima bench --card vfio-user:DIR/cntrl --rw randread --bs 4k --iodepth 32 --runtime 1
  qemu-system-x86_64 (10.1 or newer) -m 1G -object memory-backend-memfd,id=m,size=1G,share=on \\
    -numa node,memdev=m -device \\
    '{"driver":"vfio-user-pci","socket":{"path":"DIR/cntrl","type":"unix"}}'
`;

const statusMs = 1000;

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseWords(words, {
    'vfio-user': { type: 'string' },
    'time-scale': { type: 'string' },
    faults: { type: 'string' },
    status: { type: 'string' },
  });
  const [what, ...addresses] = positionals;
  if (what !== 'card' || addresses.length === 0) {
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

function signalled(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, resolve);
  });
}

function scaleOf(text: string | undefined): number | 'free' {
  if (text === undefined) return 1;
  if (text === 'free') return 'free';
  const scale = /^\d*\.?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (scale > 0 && scale <= 1e6) return scale;
  throw usageError(`--time-scale is ${text}; it must be a number up to 1000000, or free`);
}

function secondsOf(text: string | undefined): number | null {
  if (text === undefined) return null;
  const seconds = /^\d*\.?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (seconds >= 0.1 && seconds <= 86_400) return Math.round(seconds * 1000);
  throw usageError(`--status is ${text}; it must be seconds, 0.1 to 86400`);
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
