import * as assert from 'uvu/assert';
import { BlockOp, BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import { NvmeTcp } from '../../../sdk/fabric/initiator.js';
import { NvmeTcpTarget } from '../../../sdk/fabric/target.js';
import { HeldDevice, nguidOf, rigClock, rigNqn } from '../../support/fabric-rig.js';
import { suite } from '../../support/suite.js';
import { WireSockets } from '../../support/wire-sockets.js';

/**
 * One field of one PDU says what cannot be, all else is right. Types and offsets are those of the
 * figures of the standard [NVMe-TCP-1.0 §3.6.2], written down again.
 */
const test = suite('NVMe/TCP peers that lie');

const icReq = 0x00;
const icResp = 0x01;
const capsuleCmd = 0x04;
const capsuleResp = 0x05;
const h2cData = 0x06;
const c2hData = 0x07;
const r2t = 0x09;

/** The bytes that arrive instead of a PDU. */
type Lie = (pdu: Buffer) => readonly Buffer[];

const add16 = (at: number, value: number): Lie => {
  return (pdu) => {
    pdu.writeUInt16LE((pdu.readUInt16LE(at) + value) & 0xffff, at);
    return [pdu];
  };
};
const add32 = (at: number, value: number): Lie => {
  return (pdu) => {
    pdu.writeUInt32LE((pdu.readUInt32LE(at) + value) >>> 0, at);
    return [pdu];
  };
};
const set8 = (at: number, value: number): Lie => {
  return (pdu) => {
    pdu[at] = value;
    return [pdu];
  };
};
const flip8 = (at: number, bits: number): Lie => {
  return (pdu) => {
    pdu[at]! ^= bits;
    return [pdu];
  };
};
const twice: Lie = (pdu) => [pdu, Buffer.from(pdu)];

interface Told {
  /** Of which the first one that goes there is changed. */
  readonly type: number;
  readonly isToTarget: boolean;
  readonly lie: Lie;
}

interface Outcome {
  /** Why either side ended the connection; '' when none did. */
  readonly violation: string;
  readonly why: string;
  readonly status: BlockStatus | null;
  readonly device: HeldDevice;
}

const blocks = 1024;

/** A target, and a host that is connected to it through somebody who lies once. */
class Meeting {
  readonly device = new HeldDevice(blocks, 512);
  readonly wire = new WireSockets();
  host: NvmeTcp | null = null;
  why = '';
  isTold = true;
  target!: NvmeTcpTarget;

  async start({ type, isToTarget, lie }: Told): Promise<void> {
    const { wire, device } = this;
    const namespaces = [{ nsid: 1, device, nguid: nguidOf(1) }];
    const subsystems = [{ nqn: rigNqn, namespaces }];
    this.target = await NvmeTcpTarget.start({ listen: ['wire:1'], sockets: wire, subsystems });
    wire.meddler = (pdu, goesToTarget) => {
      if (this.isTold || pdu[0] !== type || goesToTarget !== isToTarget) return [pdu];
      this.isTold = true;
      return lie(Buffer.from(pdu));
    };
  }

  async connect(): Promise<void> {
    const { wire } = this;
    const common = { address: 'wire:1', nqn: rigNqn, clock: rigClock, sockets: wire };
    NvmeTcp.connect({
      ...{ ...common, keepAliveMs: 0, connectMs: 1_000, reconnectMs: 0, entries: 8 },
      onEvent: (event) => {
        if (event.kind === 'lost') this.why = event.why;
      },
    }).then(
      (host) => {
        this.host = host;
      },
      (error: Error) => {
        this.why = error.message;
      },
    );
    while (this.host === null && this.why === '') await this.turn();
  }

  async turn(): Promise<void> {
    this.wire.pump();
    this.target.poll();
    this.host?.namespace(1).poll();
    await new Promise((resolve) => setImmediate(resolve));
  }

  async end(): Promise<Outcome> {
    for (let i = 0; i < 5; i++) await this.turn();
    const { lastViolation: violation } = this.target.status;
    await this.host?.close();
    await this.target.close();
    return { violation, why: this.why, status: null, device: this.device };
  }
}

async function whileConnecting(told: Told): Promise<Outcome> {
  const meeting = new Meeting();
  await meeting.start(told);
  meeting.isTold = false;
  await meeting.connect();
  return meeting.end();
}

/** One read or write of the first blocks. */
async function during(op: BlockOp, blockCount: number, told: Told): Promise<Outcome> {
  const meeting = new Meeting();
  await meeting.start(told);
  await meeting.connect();
  meeting.isTold = false;
  const namespace = meeting.host!.namespace(1);
  const region = namespace.memory.allocate(blockCount * 512);
  region.bytes.fill(7);
  const ends: BlockStatus[] = [];
  const request = new BlockRequest(({ status }) => ends.push(status));
  Object.assign(request, { op, lba: 0, blockCount });
  request.setData(region, 0, blockCount * 512);
  namespace.submit(request);
  for (let i = 0; ends.length === 0 && i < 1000; i++) await meeting.turn();
  const outcome = await meeting.end();
  assert.is(ends.length, 1, 'the request ends once');
  assert.is(meeting.isTold, true, 'the lie was told');
  return { ...outcome, status: ends[0]! };
}

const { read, write } = BlockOp;
const many = 512;
const few = 8;

test('nobody lies: all is well', async () => {
  for (const [op, count] of [
    [read, many],
    [write, many],
    [read, few],
    [write, few],
  ] as const) {
    const told = { type: capsuleCmd, isToTarget: true, lie: (pdu: Buffer) => [pdu] };
    const { violation, why, status } = await during(op, count, told);
    assert.equal([violation, why, status], ['', '', BlockStatus.ok]);
  }
});

test('a host that lies is told so, and nothing of it reaches the device', async () => {
  const flood: Lie = (pdu) => Array.from({ length: 20 }, () => Buffer.from(pdu));
  const cases: readonly (readonly [BlockOp, number, number, Lie, RegExp])[] = [
    [write, many, h2cData, add16(10, 1), /^data that nobody asked for$/],
    [write, many, h2cData, add16(10, 0x7fff), /^data that nobody asked for$/],
    [write, many, h2cData, add16(8, 1), /^data of another command$/],
    [write, many, h2cData, add32(12, 4), /^data beyond what was asked for$/],
    [write, many, h2cData, add32(16, 4), /^data beyond what was asked for$/],
    [write, many, h2cData, add32(16, -4), /^data beyond what was asked for$/],
    [write, many, h2cData, flip8(1, 4), /^last data that is not the last$/],
    [write, many, h2cData, twice, /^data (that nobody asked for|beyond what was asked for)$/],
    [write, few, capsuleCmd, flip8(8, 3), /^data with a command that takes none$/],
    [write, few, capsuleCmd, set8(0, icReq), /./],
    [write, few, capsuleCmd, set8(0, h2cData), /./],
    [read, many, capsuleCmd, flood, /^more commands than the queue has entries$/],
  ];
  for (const [op, count, type, lie, expected] of cases) {
    const outcome = await during(op, count, { type, isToTarget: true, lie });
    assert.match(outcome.violation, expected);
    assert.is.not(outcome.status, BlockStatus.ok, String(expected));
    if (op === write) assert.is(outcome.device.submitted, 0, String(expected));
  }
});

test('a command that is wrong by itself is refused, and its connection stays', async () => {
  const cases: readonly (readonly [BlockOp, number, Lie])[] = [
    // PSDT; then length, type and, of data in the capsule, offset of the descriptor.
    [write, many, flip8(9, 0x40)],
    [write, many, add32(40, 4)],
    [write, many, add32(40, -512)],
    [write, many, set8(47, 0x00)],
    [write, many, set8(47, 0x01)],
    [write, few, add32(32, 4)],
    [write, few, add32(40, 512)],
    // Namespace and blocks.
    [read, few, add32(12, 1)],
    [read, few, add32(12, -1)],
    [read, few, add32(48, blocks)],
    [write, few, add32(48, blocks - few + 1)],
    [read, few, add32(52, 1)],
  ];
  for (const [i, [op, count, lie]] of cases.entries()) {
    const outcome = await during(op, count, { type: capsuleCmd, isToTarget: true, lie });
    assert.equal([outcome.violation, outcome.why], ['', ''], `case ${i}`);
    assert.is.not(outcome.status, BlockStatus.ok, `case ${i}`);
    assert.is(outcome.device.submitted, 0, `case ${i}`);
  }
});

/** A success for the command whose data this is. */
const successInstead: Lie = (pdu) => {
  const answer = Buffer.alloc(24);
  answer.set([capsuleResp, 0, 24, 0, 24]);
  answer.writeUInt16LE(pdu.readUInt16LE(8), 20);
  return [answer];
};

test('a controller that lies loses its connection, and is not believed', async () => {
  const outside = /data outside what was asked for/;
  const cases: readonly (readonly [BlockOp, number, number, Lie, RegExp])[] = [
    [read, many, c2hData, add16(8, 1), /data that nobody waits for/],
    [read, many, c2hData, add32(12, 4), outside],
    [read, many, c2hData, add32(16, 4), /data that ends too early/],
    [read, few, c2hData, set8(1, 8), /data that ends too early/],
    [read, few, c2hData, twice, /data that nobody waits for|data outside/],
    [read, many, c2hData, successInstead, /a success before the data/],
    [write, many, r2t, add16(8, 1), /a request for data that is not there/],
    [write, many, r2t, add32(12, 4), /a request for data beyond the command/],
    [write, many, r2t, add32(16, 4), /a request for data beyond the command/],
    [write, many, r2t, add32(16, -many * 512), /a request for data beyond the command/],
    [write, many, r2t, twice, /a request for data (that is not there|beyond the command)/],
    [write, few, capsuleResp, add16(20, 1), /an answer that nobody waits for/],
    [write, few, capsuleResp, set8(0, icResp), /./],
    [write, few, capsuleResp, twice, /^$|an answer that nobody waits for/],
  ];
  for (const [op, count, type, lie, expected] of cases) {
    const { why, status } = await during(op, count, { type, isToTarget: false, lie });
    assert.match(why, expected);
    if (lie !== twice) assert.is.not(status, BlockStatus.ok, String(expected));
  }
});

test('what the first words of a connection say is looked at on both sides', async () => {
  const ofHost: readonly (readonly [Lie, string])[] = [
    [set8(8, 1), 'a format that nobody knows'],
    [set8(9, 1), 'a format that nobody knows'],
    [set8(10, 32), 'a format that nobody knows'],
    [twice, 'a PDU out of order'],
  ];
  for (const [lie, expected] of ofHost) {
    const { violation } = await whileConnecting({ type: icReq, isToTarget: true, lie });
    assert.is(violation, expected);
  }
  const most = (bytes: number): Lie => {
    return (pdu) => {
      pdu.writeUInt32LE(bytes, 12);
      return [pdu];
    };
  };
  const ofController: readonly (readonly [Lie, RegExp])[] = [
    [set8(8, 1), /^wire:1 does not speak NVMe\/TCP$/],
    [set8(10, 32), /^wire:1 does not speak NVMe\/TCP$/],
    [flip8(11, 1), /^wire:1 does not speak NVMe\/TCP$/],
    [flip8(11, 2), /^wire:1 does not speak NVMe\/TCP$/],
    [most(4095), /^wire:1 does not speak NVMe\/TCP$/],
    [twice, /./],
    [most(4096), /^$/],
    [set8(10, 31), /^$/],
  ];
  for (const [lie, expected] of ofController) {
    const { why } = await whileConnecting({ type: icResp, isToTarget: false, lie });
    assert.match(why, expected);
  }
});

test.run();
