/** What the driver does differently for a device. */
export type QuirkName =
  | 'delay before ready'
  | 'no deallocate'
  | 'no write zeroes'
  | 'small queues'
  | 'no abort';

export interface Quirk {
  readonly vendor: number;
  readonly device: number;
  readonly names: readonly QuirkName[];
  /** What was seen, for the line that is printed when the quirk applies. */
  readonly why: string;
}

/** PCI vendor and device of controllers that need something else. */
const quirks: readonly Quirk[] = [
  {
    vendor: 0x1c58,
    device: 0x0003,
    names: ['delay before ready'],
    why: 'HGST SN100 answers with all-ones when CSTS is read right after CC.EN was cleared',
  },
  {
    vendor: 0x1c58,
    device: 0x0023,
    names: ['delay before ready'],
    why: 'WDC SN200 answers with all-ones when CSTS is read right after CC.EN was cleared',
  },
  {
    vendor: 0x1c5f,
    device: 0x0540,
    names: ['delay before ready'],
    why: 'Memblaze PBlaze4 needs time between CC.EN = 0 and the first look at CSTS.RDY',
  },
  {
    vendor: 0x144d,
    device: 0xa821,
    names: ['delay before ready'],
    why: 'Samsung PM1725 needs time between CC.EN = 0 and the first look at CSTS.RDY',
  },
  {
    vendor: 0x144d,
    device: 0xa822,
    names: ['delay before ready'],
    why: 'Samsung PM1725a needs time between CC.EN = 0 and the first look at CSTS.RDY',
  },
  {
    vendor: 0x1bb1,
    device: 0x0100,
    names: ['delay before ready'],
    why: 'Seagate Nytro needs time between CC.EN = 0 and the first look at CSTS.RDY',
  },
  {
    vendor: 0x15b7,
    device: 0x2001,
    names: ['no write zeroes'],
    why: 'SanDisk Skyhawk announces Write Zeroes and does not carry it out',
  },
];

export interface Applied {
  readonly names: ReadonlySet<QuirkName>;
  readonly reasons: readonly { readonly name: QuirkName; readonly why: string }[];
}

/** The quirks of a device and those that the caller forces. */
export function quirksOf(
  id: { readonly vendor: number; readonly device: number },
  forced: readonly QuirkName[],
): Applied {
  const reasons: { name: QuirkName; why: string }[] = forced.map((name) => ({
    name,
    why: 'asked for by the caller',
  }));
  for (const quirk of quirks) {
    if (quirk.vendor !== id.vendor || quirk.device !== id.device) continue;
    for (const name of quirk.names) reasons.push({ name, why: quirk.why });
  }
  return { names: new Set(reasons.map((reason) => reason.name)), reasons };
}

/** Entries that a device with 'small queues' takes. */
export const smallQueueEntries = 256;

/** What 'delay before ready' waits. */
export const readyDelayNs = 2_300_000_000;
