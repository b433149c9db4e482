import type { BlockRequest } from '../block/request.js';
import { commandDwords } from '../spec/nvme/command.js';
import type { RemoteNamespace } from './remote-namespace.js';

/** What the data of a command is: of a request, of an array of ours, or none. */
export const HostData = { none: 0, toController: 1, toHost: 2 } as const;
export type HostData = (typeof HostData)[keyof typeof HostData];

export interface ControlResult {
  /** The whole status field. */
  readonly status: number;
  readonly result: number;
  readonly resultHigh: number;
}

const nothing = new Uint8Array(0);

/** One command under way at a queue, by its identifier. Made once and used for ever. */
export class HostCommand {
  readonly cid: number;
  readonly words = new Uint32Array(commandDwords);
  isUsed = false;
  /** In a list of commands that wait for room. */
  next: HostCommand | null = null;
  isWaiting = false;
  isSent = false;
  direction: HostData = HostData.none;
  transfer = 0;
  /** Bytes of the controller that have come; bytes asked of us, and sent. */
  received = 0;
  sendFrom = 0;
  sendTo = 0;
  tag = 0;
  isDataSpoiled = false;
  /** Null for commands of control. */
  request: BlockRequest | null = null;
  namespace: RemoteNamespace | null = null;
  /** Data of ours: of control, or what a request needs beside its own. */
  memory: Uint8Array = nothing;
  settle: ((result: ControlResult | null) => void) | null = null;

  constructor(cid: number) {
    this.cid = cid;
  }

  reset(): void {
    this.isUsed = true;
    this.next = null;
    this.isWaiting = false;
    this.isSent = false;
    this.direction = HostData.none;
    this.transfer = 0;
    this.received = 0;
    this.sendFrom = 0;
    this.sendTo = 0;
    this.isDataSpoiled = false;
    this.request = null;
    this.namespace = null;
    this.memory = nothing;
    this.settle = null;
    this.words.fill(0);
  }
}
