/** Commands by number, as the text lists them. */
export const Ask = {
  version: 1,
  dmaMap: 2,
  dmaUnmap: 3,
  info: 4,
  region: 5,
  irq: 7,
  setIrqs: 8,
  read: 9,
  write: 10,
  dmaRead: 11,
  dmaWrite: 12,
  reset: 13,
} as const;

/** How the server treats one of the commands. */
export interface Deviation {
  /** Which command. */
  readonly command: number;
  /** At its how many-eth arrival, from 1; at every one when left out. */
  readonly at?: number;
  /** Region or interrupt index that it must be about, when that matters. */
  readonly index?: number;
  /** Messages in hexadecimal that go before the reply. */
  readonly first?: readonly string[];
  /** The whole reply in hexadecimal; its identifier becomes that of the command. */
  readonly reply?: string;
  /** Leave the identifier in `reply` as it is. */
  readonly keepsId?: boolean;
  /** Answer with this error instead. */
  readonly errno?: number;
  /** Descriptors that go along instead of the usual ones: memory of so many bytes each. */
  readonly memories?: readonly number[];
  /** Instead of answering: close, say nothing, or send half of the answer and close. */
  readonly instead?: 'close' | 'silence' | 'half';
  /** After the answer: close the connection, or cut the memory of BAR 0 short. */
  readonly afterwards?: 'close' | 'shrink';
}

export interface Plan {
  readonly deviations: readonly Deviation[];
  /** Version and JSON of its answer; usual ones when left out. */
  readonly version?: readonly [major: number, minor: number, json: string];
  /** Whether BAR 0 offers its doorbells to be mapped. */
  readonly mapsDoorbells?: boolean;
  /** Whether all of BAR 0 is offered. */
  readonly mapsAll?: boolean;
  readonly msixVectors?: number;
  /** Offer the interrupt of this index besides: 3 is for errors, 4 asks for removal. It fires. */
  readonly notice?: number;
  readonly canReset?: boolean;
  /** Close each connection after so many bytes that the server has sent on it. */
  readonly cutAfter?: number;
}

/** A message as the server received it. */
export interface Heard {
  /** Hexadecimal, identifier zeroed. */
  readonly hex: string;
  readonly descriptors: number;
}

export interface Report {
  readonly heard: readonly Heard[];
  /** Doorbell page as the server sees it. */
  readonly doorbells: readonly number[];
  /** First bytes of each DMA region that was mapped with a descriptor, by address. */
  readonly memory: readonly (readonly [address: number, hex: string])[];
}
