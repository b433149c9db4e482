import * as assert from 'uvu/assert';
import {
  type ConnectFacts,
  connectQueue,
  getProperty,
  setProperty,
  tryControl,
} from '../../../sdk/fabric/host-control.js';
import { HostQueue } from '../../../sdk/fabric/host-queue.js';
import { NvmeTcpTarget, type NvmeTcpTargetOptions } from '../../../sdk/fabric/target.js';
import { NodeSockets } from '../../../sdk/sockets/node-sockets.js';
import { ChunkPool } from '../../../sdk/sockets/outbox.js';
import { statusKind } from '../../../sdk/spec/nvme/status.js';
import { type FabricRig, fabricRig, nguidOf, rigNqn, until } from '../../support/fabric-rig.js';
import { suite } from '../../support/suite.js';

/** Commands in raw dwords, statuses as type × 100h + code [NVMe-2.0 §4.2.3]. */
const test = suite('what a target answers to hosts that ask for anything');

const ok = 0x000;
const invalidOpcode = 0x001;
const invalidField = 0x002;
const abortRequested = 0x007;
const invalidNamespace = 0x00b;
const commandSequence = 0x00c;
const tooManyEvents = 0x105;
const invalidLogPage = 0x109;
const notChangeable = 0x10e;
const incompatibleFormat = 0x180;
const invalidParameters = 0x182;
const invalidQueueType = 0x185;

const fabrics = 0x7f;
const hostNqn = 'nqn.2026-11.io.ultima:someone';

async function open(rig: FabricRig): Promise<HostQueue> {
  const { port } = rig.target.places[0]!;
  const queue = new HostQueue({
    stream: await new NodeSockets().connect({ host: '127.0.0.1', port }, 2000),
    ...{ chunks: new ChunkPool(), entries: 16, headerDigest: false, dataDigest: false },
    ended: () => {},
    lost: () => {},
  });
  assert.ok(await queue.open());
  return queue;
}

const facts: ConnectFacts = {
  ...{ qid: 0, entries: 16, cntlid: 0xffff, hostNqn, subsystemNqn: rigNqn, keepAliveMs: 0 },
  hostId: new Uint8Array(16),
};

interface Asked {
  readonly opcode: number;
  readonly nsid?: number;
  /** Dwords by their number. */
  readonly dwords?: Readonly<Record<number, number>>;
  /** Bytes to come back. */
  readonly bytes?: number;
}

async function ask(queue: HostQueue, { opcode, nsid = 0, dwords = {}, bytes = 0 }: Asked) {
  const page = new Uint8Array(bytes).fill(0xee);
  const { status, result } = await tryControl(queue, {
    what: 'a command',
    ...(bytes > 0 && { receive: page }),
    fill: (words) => {
      words[0] = (words[0]! & ~0xff) | opcode;
      words[1] = nsid;
      for (const [at, value] of Object.entries(dwords)) words[Number(at)] = value;
    },
  });
  return { status: statusKind(status), result, page: Buffer.from(page) };
}

/** With an admin queue that is connected and enabled. */
async function withAdmin(body: (queue: HostQueue, rig: FabricRig) => Promise<void>) {
  const rig = await fabricRig();
  try {
    const queue = await open(rig);
    await connectQueue(queue, facts);
    await setProperty(queue, 0x14, 0x0046_0001);
    await body(queue, rig);
    queue.close('done');
  } finally {
    await rig.close();
  }
}

test('each admin command has the status that the standard has for it', () =>
  withAdmin(async (queue) => {
    const page = 4096;
    const cases: readonly (readonly [string, Asked, number])[] = [
      ['an opcode that nobody has', { opcode: 0x70 }, invalidOpcode],
      ['a vendor opcode that nobody has', { opcode: 0xc0 }, invalidOpcode],
      ['keep alive', { opcode: 0x18 }, ok],
      ['a page that nobody has', { opcode: 6, dwords: { 10: 0x7f }, bytes: page }, invalidField],
      ['the list of namespaces', { opcode: 6, dwords: { 10: 2 }, bytes: page }, ok],
      [
        'the list from where none can be',
        { opcode: 6, nsid: 0xffff_fffe, dwords: { 10: 2 }, bytes: page },
        invalidNamespace,
      ],
      [
        'the list of another command set',
        { opcode: 6, dwords: { 10: 7, 11: 2 << 24 }, bytes: page },
        invalidField,
      ],
      [
        'descriptors of what is not there',
        { opcode: 6, nsid: 9, dwords: { 10: 3 }, bytes: page },
        invalidNamespace,
      ],
      ['health', { opcode: 2, dwords: { 10: 0x007f_0002 }, bytes: 512 }, ok],
      ['firmware', { opcode: 2, dwords: { 10: 0x007f_0003 }, bytes: 512 }, ok],
      [
        'a log that nobody has',
        { opcode: 2, dwords: { 10: 0x007f_00ff }, bytes: 512 },
        invalidLogPage,
      ],
      [
        'a log behind its end',
        { opcode: 2, dwords: { 10: 0x007f_0002, 12: 516 }, bytes: 512 },
        invalidField,
      ],
      ['a cache that stays on', { opcode: 9, dwords: { 10: 6, 11: 1 } }, ok],
      ['a cache that goes off', { opcode: 9, dwords: { 10: 6, 11: 0 } }, notChangeable],
      ['a feature that nobody has, set', { opcode: 9, dwords: { 10: 0x7e } }, invalidField],
      ['a feature that nobody has', { opcode: 10, dwords: { 10: 0x7e } }, invalidField],
      [
        'reservations that are not kept',
        { opcode: 10, nsid: 1, dwords: { 10: 0x83 } },
        invalidField,
      ],
      [
        'a long property that is short',
        { opcode: fabrics, nsid: 4, dwords: { 10: 1, 11: 0x14 } },
        invalidField,
      ],
      ['CAP by halves', { opcode: fabrics, nsid: 4, dwords: { 11: 0 } }, invalidField],
      ['a property that is none', { opcode: fabrics, nsid: 4, dwords: { 11: 0x0c } }, invalidField],
      ['CSTS, set', { opcode: fabrics, nsid: 0, dwords: { 11: 0x1c } }, invalidField],
      ['CC as 64 bits', { opcode: fabrics, nsid: 0, dwords: { 10: 1, 11: 0x14 } }, invalidField],
      [
        'authentication, not asked for',
        { opcode: fabrics, nsid: 6, dwords: { 11: 512 }, bytes: 512 },
        commandSequence,
      ],
      ['an admin queue that disconnects', { opcode: fabrics, nsid: 8 }, invalidQueueType],
      ['a type of fabrics that is none', { opcode: fabrics, nsid: 0x7f }, invalidOpcode],
    ];
    for (const [what, asked, expected] of cases) {
      assert.is((await ask(queue, asked)).status, expected, what);
    }
  }));

test('capabilities are 64 bits, of which the upper half says which commands there are', () =>
  withAdmin(async (queue) => {
    const [low, high] = await getProperty(queue, 0);
    assert.ok((low & 0xffff) > 0, 'entries of a queue');
    assert.is((high >>> 5) & 1, 1, 'the NVM command set');
  }));

test('what is asked for comes as the standard draws it, and nothing behind it', () =>
  withAdmin(async (queue) => {
    const get = async (fid: number): Promise<number> => {
      return (await ask(queue, { opcode: 10, dwords: { 10: fid } })).result;
    };
    assert.is(await get(6), 1, 'a volatile write cache');
    const queues = (await get(7)) & 0xffff;
    assert.is(await get(7), queues * 0x1_0001);
    const asked = await ask(queue, { opcode: 9, dwords: { 10: 7, 11: 0x0003_0002 } });
    assert.is(asked.result, 0x0003_0003, 'the larger count, for both');
    const most = await ask(queue, { opcode: 9, dwords: { 10: 7, 11: 0xfffe_fffe } });
    assert.is(most.result, queues * 0x1_0001);
    assert.is(await get(15), 0);
    await ask(queue, { opcode: 9, dwords: { 10: 15, 11: 60_000 } });
    assert.is(await get(15), 60_000);
    await ask(queue, { opcode: 9, dwords: { 10: 11, 11: 0x100 } });
    assert.is(await get(11), 0x100);
    const vs = await ask(queue, { opcode: fabrics, nsid: 4, dwords: { 11: 8 } });
    const controller = await ask(queue, { opcode: 6, dwords: { 10: 1 }, bytes: 4096 });
    assert.is(vs.result, controller.page.readUInt32LE(80), 'the version of both');
    const cc = await ask(queue, { opcode: fabrics, nsid: 4, dwords: { 11: 0x14 } });
    assert.is(cc.result, 0x0046_0001);
    // A namespace has the identifier that it was given: type 2, 16 bytes.
    const list = await ask(queue, { opcode: 6, nsid: 1, dwords: { 10: 3 }, bytes: 4096 });
    assert.equal([...list.page.subarray(0, 4)], [2, 16, 0, 0]);
    assert.equal(new Uint8Array(list.page.subarray(4, 20)), nguidOf(1));
    assert.ok(list.page.subarray(20).every((byte) => byte === 0));
    const health = await ask(queue, { opcode: 2, dwords: { 10: 0x00ff_0002 }, bytes: 1024 });
    assert.is(health.page[3], 100, 'all of the spare');
    assert.ok(
      health.page.subarray(512).every((byte) => byte === 0),
      'nothing behind the page',
    );
    const errors = Number(health.page.readBigUInt64LE(176));
    await ask(queue, { opcode: 0x70 });
    const more = await ask(queue, { opcode: 2, dwords: { 10: 0x00ff_0002 }, bytes: 1024 });
    assert.is(Number(more.page.readBigUInt64LE(176)), errors + 1);
    const part = await ask(queue, { opcode: 2, dwords: { 10: 0x0001_0002, 12: 4 }, bytes: 8 });
    assert.is(Buffer.compare(part.page, more.page.subarray(4, 12)), 0);
    const firmware = await ask(queue, { opcode: 2, dwords: { 10: 0x007f_0003 }, bytes: 512 });
    assert.equal([firmware.page[0], firmware.page[8]], [1, '1'.charCodeAt(0)]);
  }));

test('an event request waits until it is aborted, and there are no more than the target says', () =>
  withAdmin(async (queue) => {
    const ends: number[] = [];
    const identity = await ask(queue, { opcode: 6, dwords: { 10: 1 }, bytes: 4096 });
    const most = identity.page[259]! + 1;
    const wait = (): Promise<void> =>
      tryControl(queue, {
        what: 'an event request',
        fill: (words) => {
          words[0] = (words[0]! & ~0xff) | 0x0c;
        },
      }).then(({ status }) => {
        ends.push(statusKind(status));
      });
    for (let i = 0; i <= most; i++) void wait();
    await until('the last one is refused', () => ends.length === 1);
    assert.equal(ends, [tooManyEvents]);
    const none = await ask(queue, { opcode: 8, dwords: { 10: 0x7fff << 16 } });
    assert.equal([none.status, none.result], [ok, 1], 'nothing was aborted');
    const abort = async (cid: number, sqid: number): Promise<number> => {
      return (await ask(queue, { opcode: 8, dwords: { 10: (cid << 16) | sqid } })).result & 1;
    };
    let cid = 0;
    // Of another queue there is nothing to abort, whatever its number.
    while (cid < 16 && (await abort(cid, 1)) === 1 && (await abort(cid, 0)) === 1) cid++;
    assert.ok(cid < 16);
    assert.is(await abort(cid, 0), 1, 'once only');
    await until('it has ended', () => ends.length === 2);
    assert.is(ends[1], abortRequested);
    void wait().catch(() => {});
    await ask(queue, { opcode: 0x18 });
    assert.is(ends.length, 2, 'there is room for another one');
  }));

/** A Connect whose words and data are changed. @returns status and dword 0 */
async function connect(
  rig: FabricRig,
  changed: Partial<ConnectFacts>,
  dword10 = 0,
): Promise<readonly [number, number]> {
  const queue = await open(rig);
  const all = { ...facts, ...changed };
  const data = Buffer.alloc(1024);
  data.set(all.hostId, 0);
  data.writeUInt16LE(all.cntlid, 16);
  data.write(all.subsystemNqn, 256);
  data.write(all.hostNqn, 512);
  const { status, result } = await tryControl(queue, {
    what: 'a Connect',
    send: data,
    fill: (words) => {
      words[0] = (words[0]! & ~0xff) | fabrics;
      words[1] = 1;
      words[10] = dword10 | (all.qid << 16);
      words[11] = all.entries - 1;
    },
  });
  queue.close('done');
  return [statusKind(status), result];
}

test('a Connect that cannot be is refused by the place of what is wrong', () =>
  withAdmin(async (_queue, rig) => {
    const inData = 1 << 16;
    const cases: readonly (readonly [string, Partial<ConnectFacts>, number])[] = [
      ['another subsystem', { subsystemNqn: 'nqn.2026-11.io.ultima:none' }, inData | 256],
      ['one entry', { entries: 1 }, 44],
      ['a controller of its own choice', { cntlid: 7 }, inData | 16],
      ['no name', { hostNqn: '' }, inData | 512],
      ['an I/O queue of nobody', { qid: 1, cntlid: 0x7777 }, inData | 16],
      ['an I/O queue of another name', { qid: 1, cntlid: 1, hostNqn: `${hostNqn}x` }, inData | 512],
      [
        'an I/O queue of another identifier',
        { qid: 1, cntlid: 1, hostId: new Uint8Array(16).fill(1) },
        inData | 0,
      ],
      ['an I/O queue with too large a number', { qid: 0x7fff, cntlid: 1 }, 42],
    ];
    for (const [what, changed, place] of cases) {
      assert.equal(await connect(rig, changed), [invalidParameters, place], what);
    }
    assert.is((await connect(rig, {}, 1))[0], incompatibleFormat);
    const first = await open(rig);
    await connectQueue(first, { ...facts, qid: 1, cntlid: 1 });
    const again = await connect(rig, { qid: 1, cntlid: 1 });
    assert.equal(again, [invalidParameters, 42], 'a queue that is there');
    assert.equal(await connect(rig, { qid: 2, cntlid: 1 }), [ok, 1]);
    first.close('done');
  }));

test('targets that cannot be are refused before anything listens', async () => {
  const subsystems = [{ nqn: rigNqn, namespaces: [] }];
  const listen = ['127.0.0.1:0'];
  const cases: readonly (readonly [RegExp, NvmeTcpTargetOptions])[] = [
    [/^0 subsystems; 1 to 256/, { listen, subsystems: [] }],
    [/^no place to listen/, { listen: [], subsystems }],
    [/^0 connections; 1 to /, { listen, subsystems, mostConnections: 0 }],
  ];
  for (const [expected, options] of cases) {
    await NvmeTcpTarget.start(options).then(
      () => assert.unreachable(),
      (error: Error) => assert.match(error.message, expected),
    );
  }
});

test('a controller that is not enabled has no queues for I/O', async () => {
  const rig = await fabricRig();
  try {
    const queue = await open(rig);
    const cntlid = (await connectQueue(queue, facts)) & 0xffff;
    assert.is((await connect(rig, { qid: 1, cntlid }))[0], invalidQueueType);
    queue.close('done');
  } finally {
    await rig.close();
  }
});

test.run();
