import { ErrorCode, UltimaError } from '../errors.js';
import {
  Connect,
  ConnectData,
  ConnectInvalid,
  FabricsCommand,
  FabricsStatus,
  FabricsType,
  fabricsOpcode,
  PropertyGet,
  PropertySet,
} from '../spec/fabrics/command.js';
import { GetLogPage, Identify, setLogDwords } from '../spec/nvme/admin-command.js';
import { Sqe } from '../spec/nvme/command.js';
import { type Cns, identifyBytes } from '../spec/nvme/identify.js';
import { AdminOpcode } from '../spec/nvme/opcodes.js';
import { Register } from '../spec/nvme/registers.js';
import { statusKind, statusText } from '../spec/nvme/status.js';
import { type ControlResult, HostData } from './host-command.js';
import type { HostQueue } from './host-queue.js';

/** What a command of control is made of. */
export interface ControlCommand {
  readonly what: string;
  readonly fill: (words: Uint32Array) => void;
  /** For the controller. */
  readonly send?: Uint8Array;
  /** From the controller: filled. */
  readonly receive?: Uint8Array;
}

/** Send it and wait. @throws UltimaError DEVICE_REMOVED when the connection is lost over it */
export async function tryControl(
  queue: HostQueue,
  { what, fill, send, receive }: ControlCommand,
): Promise<ControlResult> {
  if (queue.isClosed) throw connectionLost(what);
  if (!queue.hasRoom) {
    throw new UltimaError(ErrorCode.queueFull, `${what}: no free command`, { what });
  }
  const result = await new Promise<ControlResult | null>((resolve) => {
    const command = queue.take();
    fill(command.words);
    const memory = send ?? receive;
    if (memory !== undefined && memory.length > 0) {
      command.memory = memory;
      command.transfer = memory.length;
      command.direction = send === undefined ? HostData.toHost : HostData.toController;
    }
    command.settle = resolve;
    queue.issue(command);
    queue.flush();
  });
  if (result === null) throw connectionLost(what);
  return result;
}

/** The same. @throws UltimaError COMMAND_FAILED as well */
export async function control(queue: HostQueue, command: ControlCommand): Promise<ControlResult> {
  const result = await tryControl(queue, command);
  if (result.status === 0) return result;
  const { status } = result;
  const message = `${command.what}: the controller says ${statusText(status)}`;
  throw new UltimaError(ErrorCode.commandFailed, message, { what: command.what, status });
}

function connectionLost(what: string): UltimaError {
  const message = `${what}: the connection was lost`;
  return new UltimaError(ErrorCode.deviceRemoved, message, { what });
}

export interface ConnectFacts {
  readonly qid: number;
  readonly entries: number;
  readonly cntlid: number;
  readonly hostId: Uint8Array;
  readonly hostNqn: string;
  readonly subsystemNqn: string;
  readonly keepAliveMs: number;
}

/** @returns dword 0 of the completion */
export async function connectQueue(queue: HostQueue, facts: ConnectFacts): Promise<number> {
  const data = new Uint32Array(ConnectData.layout.bytes / 4);
  ConnectData.hostid.bytes(data, 0).set(facts.hostId);
  ConnectData.cntlid.set(data, 0, facts.cntlid);
  ConnectData.subnqn.bytes(data, 0).set(Buffer.from(facts.subsystemNqn));
  ConnectData.hostnqn.bytes(data, 0).set(Buffer.from(facts.hostNqn));
  const what = `connecting queue ${facts.qid} of ${facts.subsystemNqn}`;
  const { status, result } = await tryControl(queue, {
    what,
    send: new Uint8Array(data.buffer),
    fill: (words) => {
      fabrics(words, FabricsType.connect);
      Connect.qid.set(words, 0, facts.qid);
      Connect.sqsize.set(words, 0, facts.entries);
      Connect.kato.set(words, 0, facts.qid === 0 ? facts.keepAliveMs : 0);
      if (facts.qid !== 0) Connect.noFlowControl.set(words, 0, 1);
    },
  });
  if (status === 0) return result;
  const message = `${what}: ${whyRefused(status, result, facts)}`;
  throw new UltimaError(ErrorCode.commandFailed, message, { what, status });
}

/** What a person can do something about, in words [NVMe-2.0 §6.3 Connect]. */
function whyRefused(status: number, result: number, facts: ConnectFacts): string {
  const kind = statusKind(status);
  const isSubsystem =
    ConnectInvalid.isInData.of(result) === 1 &&
    ConnectInvalid.offset.of(result) === ConnectData.subnqn.offset;
  if (kind === FabricsStatus.invalidHost) return `it does not let ${facts.hostNqn} in`;
  if (kind === FabricsStatus.controllerBusy) return 'it has no room for one more now; try again';
  if (kind === FabricsStatus.invalidParameters && isSubsystem) {
    return 'there is no subsystem of that name';
  }
  return `the controller says ${statusText(status)}`;
}

export function fabrics(words: Uint32Array, type: FabricsType): void {
  Sqe.opc.set(words, 0, fabricsOpcode);
  FabricsCommand.fctype.set(words, 0, type);
}

/** @returns the value as low and high dword */
export async function getProperty(
  queue: HostQueue,
  offset: number,
): Promise<readonly [low: number, high: number]> {
  const { result, resultHigh } = await control(queue, {
    what: 'reading a property',
    fill: (words) => {
      fabrics(words, FabricsType.propertyGet);
      PropertyGet.size.set(words, 0, offset === Register.cap ? 1 : 0);
      PropertyGet.offset.set(words, 0, offset);
    },
  });
  return [result, resultHigh];
}

export async function setProperty(queue: HostQueue, offset: number, value: number): Promise<void> {
  await control(queue, {
    what: 'writing a property',
    fill: (words) => {
      fabrics(words, FabricsType.propertySet);
      PropertySet.offset.set(words, 0, offset);
      PropertySet.value.set(words, 0, value);
    },
  });
}

export async function identifyPage(
  queue: HostQueue,
  cns: (typeof Cns)[keyof typeof Cns],
  nsid = 0,
): Promise<Uint32Array> {
  const page = new Uint32Array(identifyBytes / 4);
  await control(queue, {
    what: `identify ${cns} of namespace ${nsid}`,
    receive: new Uint8Array(page.buffer),
    fill: (words) => {
      Sqe.opc.set(words, 0, AdminOpcode.identify);
      Sqe.nsid.set(words, 0, nsid);
      Identify.cns.set(words, 0, cns);
    },
  });
  return page;
}

/** @param bytes  a multiple of 4 */
export async function logPageOf(
  queue: HostQueue,
  lid: number,
  bytes: number,
): Promise<Uint32Array> {
  const page = new Uint32Array(bytes / 4);
  await control(queue, {
    what: `log page ${lid}`,
    receive: new Uint8Array(page.buffer),
    fill: (words) => {
      Sqe.opc.set(words, 0, AdminOpcode.getLogPage);
      GetLogPage.lid.set(words, 0, lid);
      setLogDwords(words, 0, bytes / 4);
    },
  });
  return page;
}
