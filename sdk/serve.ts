import { join } from 'node:path';
import { ListeningSocket, theKernel, type UnixSocket, type Watcher } from '../native/index.js';
import { NativeServeSystem } from '../native/serve-system.js';
import { machineClock } from '../native/vfio/clock.js';
import { WordsAlarm } from '../native/words-alarm.js';
import {
  CardServer,
  type CardServerStatus,
  openSimulated,
  Pace,
  type PeerSocket,
  parseAddress,
  type TimeScale,
} from '../sim/index.js';
import { FileLock } from './block/file-lock.js';
import type { FaultPlan } from './faults/plan.js';
import { makeFolder } from './folder.js';
import { usNs } from './units.js';

/** What clients expect in the folder of a card. */
const socketName = 'cntrl';
/** Descriptors that come with one message at most. */
const descriptorLimit = 16;
/** A card that works is looked at for so long before the event loop has its turn. */
const sliceNs = 30 * usNs;
/** Rounds of messages before the card has its turn again. */
const pumpsPerTurn = 64;

export interface ServeOptions {
  /** Virtual nanoseconds per real one, or 'free': the card takes no time of its own. 1 without. */
  readonly timeScale?: TimeScale | undefined;
  /**
   * A client may take the state of the card away, for another server of the same card, and bring
   * one along; the blocks go with it, the memory of the client does not. The state is trusted as a
   * checkpoint is. False without, and never for a card that keeps its blocks in a file.
   */
  readonly isMovable?: boolean | undefined;
  /** What goes wrong, and when. */
  readonly faults?: FaultPlan | undefined;
}

export interface ServedStatus extends CardServerStatus {
  /** Nanoseconds in which the card had something to do, of the real time. */
  readonly busyNs: number;
}

/** A card that other processes can open. */
export interface ServedCard {
  /** Of the socket. */
  readonly path: string;
  status(): ServedStatus;
  /** Let its client go, remove the socket, and give everything back. Idempotent. */
  close(): Promise<void>;
}

/**
 * Serve a simulated card at a UNIX socket, as vfio-user has it: QEMU's `vfio-user-pci`, SPDK's
 * driver and `open('vfio-user:…')` use it as a PCI device. One client at a time; the next one waits
 * until it is gone. The card runs in this thread's event loop, and keeps the process alive. While
 * it has nothing to do the loop sleeps, and a thread of the addon watches the doorbells of all
 * cards.
 *
 * @param address  'sim:ultima-g2', as `open` takes it
 * @param folder   made when it is not there; the socket in it is called `cntrl`
 * @throws UltimaError BACKEND_UNAVAILABLE without the addon, DEVICE_BUSY when somebody listens
 *   there or has the card's file, FILE_UNWRITABLE, and what `open` throws; RangeError for a time
 *   scale that cannot be
 */
export async function serveCard(
  address: string,
  folder: string,
  options: ServeOptions = {},
): Promise<ServedCard> {
  const { file } = parseAddress(address);
  const { opened, lock } = await FileLock.around(file, () => {
    return new CardLoop(address, folder, options);
  });
  opened.lock = lock;
  return opened;
}

/**
 * A card, its socket, and the loop that makes it go on: a slice of work in each turn of the event
 * loop while the alarm rings. A slice allocates nothing, however many commands it serves: times are
 * in cells, because a number that is passed or returned is allocated when it is no small integer.
 * What is left is one object of 56 bytes that Node 20 itself makes in each turn of its loop
 * (`Environment::RunAndClearNativeImmediates`).
 *
 * While the card has nothing to do the loop rests, and a thread of the addon looks at its
 * doorbells: a timer of the loop would let a command wait for as long as the card may sleep.
 * `npm run bench -- vfio-user` tells what idling costs.
 */
class CardLoop implements ServedCard {
  readonly path: string;
  private readonly server: CardServer;
  private readonly listener: ListeningSocket;
  private readonly clock = machineClock();
  private readonly pace = new Pace(this.clock.cell);
  private readonly alarm: WordsAlarm;
  /** Of the file that has the card's blocks. */
  lock: FileLock | null = null;
  private listening: Watcher | null = null;
  private socket: WatchedSocket | null = null;
  /** Ends a rest at the latest; null while the alarm rings. */
  private rest: NodeJS.Timeout | null = null;
  private closing: Promise<void> | null = null;
  private busyNs = 0;

  constructor(address: string, folder: string, options: ServeOptions) {
    const { timeScale, faults, isMovable } = options;
    makeFolder(folder);
    this.path = join(folder, socketName);
    const kernel = theKernel();
    this.listener = new ListeningSocket(kernel, this.path);
    try {
      this.server = new CardServer({
        makeCard: (foreignHost) =>
          openSimulated(address, { foreignHost, ...(faults === undefined ? {} : { faults }) }),
        system: new NativeServeSystem(kernel),
        realTime: this.clock.cell,
        ...(timeScale === undefined ? {} : { timeScale }),
        ...(isMovable === undefined ? {} : { isMovable }),
      });
    } catch (error) {
      this.listener.close();
      throw error;
    }
    const { words, seen } = this.server.doorbells;
    this.alarm = new WordsAlarm(kernel, words, seen, () => this.rung());
    this.alarm.hold(true);
    this.listen();
    this.alarm.ring();
  }

  status(): ServedStatus {
    return { ...this.server.status, busyNs: this.busyNs };
  }

  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    this.stopListening();
    this.listener.close();
    if (this.rest !== null) clearTimeout(this.rest);
    // The doorbells go with the card.
    this.alarm.close();
    await this.server.close();
    this.lock?.release();
  }

  /** Nobody is connected: the next one may come. The next but one waits in the kernel. */
  private listen(): void {
    this.listening = this.listener.watch(() => this.accept());
    this.listening.hold(true);
  }

  private stopListening(): void {
    this.listening?.close();
    this.listening = null;
  }

  private accept(): void {
    const socket = this.listener.accept(descriptorLimit);
    if (socket === null) return;
    this.stopListening();
    this.socket = new WatchedSocket(socket, () => this.answer());
    this.server.accept(this.socket);
    this.answer();
  }

  /** Something has arrived, or there is room to send again. */
  private answer(): void {
    if (this.closing !== null) return;
    this.clock();
    this.server.turn();
    for (let i = 0; i < pumpsPerTurn && this.server.pump(); i++);
    this.follow();
    this.wake();
  }

  /** The connection as the server has left it. */
  private follow(): void {
    this.socket?.watchRoom(this.server.isBlocked);
    if (!this.server.isConnected && this.listening === null) this.listen();
  }

  /** Whatever comes next is near. */
  private wake(): void {
    this.pace.wake();
    this.goOn();
  }

  /** In each turn of the event loop while the alarm rings. */
  private rung(): void {
    if (this.closing !== null) return;
    // During a rest the alarm rings when the client has written a doorbell.
    if (this.rest !== null) this.server.doorbellRang();
    this.slice(this.rest !== null);
  }

  /**
   * Look at the card until there is nothing to do or the time is over.
   *
   * @param isAfterRest  one look is enough then when it finds nothing
   */
  private slice(isAfterRest: boolean): void {
    const { clock, server } = this;
    const { cell } = clock;
    clock();
    const endNs = cell[0]! + sliceNs;
    let wasBusy = false;
    do {
      const startNs = cell[0]!;
      const isBusy = server.turn();
      clock();
      if (!isBusy) continue;
      wasBusy = true;
      this.busyNs += cell[0]! - startNs;
    } while (cell[0]! < endNs && (wasBusy || !isAfterRest));
    if (this.closing !== null) return;
    this.follow();
    if (wasBusy) this.pace.worked();
    const pauseMs = wasBusy ? 0 : this.pace.pauseMs(server);
    if (pauseMs > 0) this.startRest(pauseMs);
    else this.goOn();
  }

  private startRest(pauseMs: number): void {
    if (this.rest !== null) clearTimeout(this.rest);
    this.rest = setTimeout(() => this.slice(true), pauseMs);
    this.alarm.silence();
    if (this.server.isConnected) this.alarm.arm(this.pace.quietMs);
  }

  /** A rest is over: a slice in each turn of the event loop again. */
  private goOn(): void {
    if (this.rest === null) return;
    clearTimeout(this.rest);
    this.rest = null;
    this.alarm.ring();
  }
}

/** A socket with its watchers, which end before it does. */
class WatchedSocket implements PeerSocket {
  private readonly socket: UnixSocket;
  private readonly onEvent: () => void;
  private watcher: Watcher;
  private isWaitingForRoom = false;

  constructor(socket: UnixSocket, onEvent: () => void) {
    this.socket = socket;
    this.onEvent = onEvent;
    this.watcher = socket.watch(onEvent);
  }

  /** Wait for room to send instead of for something to receive, or the other way round. */
  watchRoom(isWanted: boolean): void {
    if (isWanted === this.isWaitingForRoom || !this.socket.isOpen) return;
    this.isWaitingForRoom = isWanted;
    this.watcher.close();
    const { socket, onEvent } = this;
    this.watcher = isWanted ? socket.watchWritable(onEvent) : socket.watch(onEvent);
  }

  get refusedCount(): number {
    return this.socket.refusedCount;
  }

  send(bytes: Uint8Array, fds?: Int32Array): number {
    return this.socket.send(bytes, fds);
  }

  receive(bytes: Uint8Array): number {
    return this.socket.receive(bytes);
  }

  takeDescriptors(): number[] {
    return this.socket.takeDescriptors();
  }

  waitReadable(timeoutMs: number): boolean {
    return this.socket.waitReadable(timeoutMs);
  }

  waitWritable(timeoutMs: number): boolean {
    return this.socket.waitWritable(timeoutMs);
  }

  close(): void {
    if (!this.socket.isOpen) return;
    this.watcher.close();
    this.socket.close();
  }
}
