import { RegionAccess } from '../../sdk/spec/vfio-user/access.js';
import { leastPayloads } from '../../sdk/spec/vfio-user/commands.js';
import { Command, Errno, MessageHeader } from '../../sdk/spec/vfio-user/header.js';
import { capabilityDefault } from '../../sdk/spec/vfio-user/version.js';
import { regionRead, regionWrite, regionWriteMulti } from './access-messages.js';
import { type Answer, type Handler, type Place, strayFds } from './answers.js';
import {
  getInfo,
  getIrqInfo,
  getRegionInfo,
  getRegionIoFds,
  reset,
  setIrqs,
} from './device-messages.js';
import { deviceFeature } from './feature-messages.js';
import { dmaMap, dmaUnmap } from './memory-messages.js';
import { MessageExchange } from './message-dma.js';
import { type Message, MessageStream } from './message-stream.js';
import { migrationRead, migrationWrite } from './migration-messages.js';
import type { PeerSocket, ServeSystem } from './peer.js';
import { dmaPageBytes, maxDmaRegions } from './peer-memory.js';
import type { ServedFunction } from './served-function.js';
import { type Agreement, negotiate } from './version.js';

/** Descriptors that a peer may send with one message. */
export const maxMessageFds = 16;
/** Data that a peer may move with one message. */
export const maxTransferBytes = capabilityDefault.maxTransferBytes;
const longestMessageBytes =
  MessageHeader.layout.bytes + RegionAccess.layout.bytes + maxTransferBytes;
/** Commands answered before others have their turn. */
const commandsPerTurn = 32;

const abilities = {
  maxMessageFds,
  maxTransferBytes,
  maxDmaMaps: maxDmaRegions,
  pageSizes: dmaPageBytes,
};

const handlers: ReadonlyMap<number, Handler> = new Map<number, Handler>([
  // A second proposal.
  [Command.version, () => Errno.EINVAL],
  [Command.dmaMap, dmaMap],
  [Command.dmaUnmap, dmaUnmap],
  [Command.deviceGetInfo, getInfo],
  [Command.deviceGetRegionInfo, getRegionInfo],
  [Command.deviceGetRegionIoFds, getRegionIoFds],
  [Command.deviceGetIrqInfo, getIrqInfo],
  [Command.deviceSetIrqs, setIrqs],
  [Command.regionRead, regionRead],
  [Command.regionWrite, regionWrite],
  [Command.deviceReset, reset],
  [Command.regionWriteMulti, regionWriteMulti],
  [Command.deviceFeature, deviceFeature],
  [Command.migrationRead, migrationRead],
  [Command.migrationWrite, migrationWrite],
]);

/** Descriptors come with these alone. */
const takesFds: ReadonlySet<number> = new Set([Command.dmaMap, Command.deviceSetIrqs]);

/**
 * One connection: the version first, then commands in their order, each answered before the next is
 * looked at. A command that cannot be is answered with an error number and changes nothing; a
 * stream that is no protocol ends the session. Whatever a peer does costs its own session alone.
 */
export class Session {
  /** Commands handled. */
  commandCount = 0;
  /** Why the session is over; empty while it goes on. */
  closedBy = '';
  private readonly socket: PeerSocket;
  private readonly system: ServeSystem;
  private readonly served: ServedFunction;
  private readonly stream: MessageStream;
  private place: Place | null = null;
  private exchange: MessageExchange | null = null;

  constructor(socket: PeerSocket, system: ServeSystem, served: ServedFunction) {
    this.socket = socket;
    this.system = system;
    this.served = served;
    this.stream = new MessageStream(socket, longestMessageBytes);
  }

  /** Whether answers wait for room in the socket. */
  get isBlocked(): boolean {
    return this.stream.isBlocked;
  }

  /** Whether there is something to do that no arrival will announce. */
  get needsPump(): boolean {
    return this.closedBy === '' && !this.isBlocked && this.exchange?.needsPump === true;
  }

  /**
   * Handle what has arrived, up to a limit.
   *
   * @returns whether there may be more to do at once
   */
  pump(): boolean {
    for (let i = 0; i < commandsPerTurn && this.closedBy === ''; i++) {
      if (this.exchange !== null && this.exchange.failure !== '') {
        this.close(this.exchange.failure);
        return false;
      }
      if (!this.stream.flush()) this.close(goneReason);
      // Answers are in order, and a peer that takes none is not asked for more.
      else if (this.stream.isBlocked || !this.pumpOne()) return false;
    }
    return this.closedBy === '';
  }

  /** End the session from our side. Idempotent. */
  close(reason: string): void {
    if (this.closedBy !== '') return;
    this.closedBy = reason;
    for (let left = this.exchange?.takeWaiting(); left; left = this.exchange?.takeWaiting()) {
      this.dropFds(left);
    }
    this.served.release();
    this.socket.close();
  }

  /** @returns whether there was a message */
  private pumpOne(): boolean {
    const message = this.exchange?.takeWaiting() ?? this.stream.receive();
    if (message === 'nothing') return false;
    if (message === 'gone') this.close(goneReason);
    else if (message === 'broken') this.close(this.stream.brokenBy);
    else this.take(message);
    return true;
  }

  private take(message: Message): void {
    if (message.isReply) {
      this.dropFds(message);
      this.close(`an answer to command ${message.command} that was not given`);
      return;
    }
    this.commandCount++;
    if (this.place === null) {
      this.open(message);
      return;
    }
    const answer = this.answerTo(message, this.place);
    const isFailure = typeof answer === 'number';
    if (isFailure || answer.keepsFds !== true) this.dropFds(message);
    if (!message.wantsReply || this.closedBy !== '') return;
    const isSent = isFailure
      ? this.stream.fail(message, answer)
      : this.stream.reply(message, answer.payload, Int32Array.from(answer.fds ?? []));
    if (!isSent) this.close(goneReason);
  }

  private answerTo(message: Message, place: Place): Answer {
    const handler = handlers.get(message.command);
    if (handler === undefined) return Errno.EINVAL;
    if (message.payload.length < leastPayloads.get(message.command)!.command) return Errno.EINVAL;
    if (message.hasLostFds) return strayFds;
    if (message.fds.length > 0 && !takesFds.has(message.command)) return strayFds;
    return handler(message, place);
  }

  /** The first command is a version, or there is no session. */
  private open(message: Message): void {
    this.dropFds(message);
    if (message.command !== Command.version) {
      this.close(`command ${message.command} before the version`);
      return;
    }
    const result = negotiate(message.payload, abilities);
    if (typeof result === 'number') {
      if (message.wantsReply) this.stream.fail(message, result);
      this.close(`a version that cannot be agreed on (error ${result})`);
      return;
    }
    this.begin(result.agreement);
    if (message.wantsReply && !this.stream.reply(message, result.reply)) this.close(goneReason);
  }

  private begin(agreement: Agreement): void {
    this.place = {
      served: this.served,
      transferBytes: maxTransferBytes,
      peerMessageFds: agreement.peerMessageFds,
      hasWriteMultiple: agreement.hasWriteMultiple,
    };
    this.exchange = new MessageExchange({
      stream: this.stream,
      socket: this.socket,
      system: this.system,
      transferBytes: Math.min(agreement.peerTransferBytes, maxTransferBytes),
    });
    this.served.memory.messages = this.exchange;
  }

  private dropFds(message: Message): void {
    for (const fd of message.fds) this.system.closeDescriptor(fd);
  }
}

/** What a session ends with when the peer has closed its end. */
const goneReason = 'the peer closed the connection';
