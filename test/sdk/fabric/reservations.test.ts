import * as assert from 'uvu/assert';
import { readBlocks, writeBlocks } from '../../../sdk/block/promised.js';
import { BlockOp, BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import { MemoryStore } from '../../../sdk/cluster/memory-store.js';
import { NvmeTcp } from '../../../sdk/fabric/initiator.js';
import type { RemoteNamespace } from '../../../sdk/fabric/remote-namespace.js';
import type { ReservationStore } from '../../../sdk/fabric/served-namespace.js';
import { NvmeTcpTarget } from '../../../sdk/fabric/target.js';
import { Mirror } from '../../../sdk/mirror/mirror.js';
import { createMirror } from '../../../sdk/mirror/options.js';
import { RawMember } from '../../../sdk/mirror/raw-member.js';
import { MiB } from '../../../sdk/units.js';
import { HeldDevice, nguidOf, rigClock, rigNqn, until } from '../../support/fabric-rig.js';
import { nvmeStatusOf } from '../../support/nvme-status.js';
import { suite } from '../../support/suite.js';
import { clusterId, codeOf, idOf, volumeId } from '../mirror/rig.js';

const test = suite('reservations over NVMe/TCP');

/** What a target saves, as a file would keep it. */
class Kept implements ReservationStore {
  saved: Uint8Array | null = null;
  saves = 0;

  async save(bytes: Uint8Array | null): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.saved = bytes;
    this.saves++;
  }
}

interface Rig {
  readonly device: HeldDevice;
  readonly kept: Kept;
  target: NvmeTcpTarget;
  /** Connect as a host with this number for an identifier. */
  host(number: number): Promise<RemoteNamespace>;
  /** The target is killed, and starts anew on the same device. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

interface RigOptions {
  readonly isForgetful?: boolean;
}

async function open(options: RigOptions): Promise<Rig> {
  const device = new HeldDevice((2 * MiB) / 512);
  const kept = new Kept();
  const start = (): Promise<NvmeTcpTarget> => {
    const reservations = options.isForgetful === true ? {} : kept;
    const namespaces = [{ nsid: 1, device, nguid: nguidOf(1), reservations }];
    const subsystems = [{ nqn: rigNqn, namespaces }];
    return NvmeTcpTarget.start({ listen: ['127.0.0.1:0'], subsystems });
  };
  const hosts: NvmeTcp[] = [];
  const rig: Rig = {
    ...{ device, kept, target: await start() },
    host: async (number) => {
      const address = `127.0.0.1:${rig.target.places[0]!.port}`;
      const hostId = new Uint8Array(16).fill(number);
      const more = { clock: rigClock, reconnectMs: 0 };
      const host = await NvmeTcp.connect({ address, nqn: rigNqn, hostId, ...more });
      hosts.push(host);
      return host.namespace(1);
    },
    restart: async () => {
      for (const host of hosts.splice(0)) await host.close();
      await rig.target.close();
      rig.target = await start();
    },
    close: async () => {
      device.isHeld = false;
      for (const host of hosts) await host.close();
      await rig.target.close();
    },
  };
  return rig;
}

/** A statement about a target, which is closed at the end in any case. */
function statement(
  name: string,
  work: (rig: Rig) => Promise<void>,
  options: RigOptions = {},
): void {
  test(name, async () => {
    const rig = await open(options);
    try {
      await work(rig);
    } finally {
      await rig.close();
    }
  });
}

const conflict = 0x083;
const block = (fill: number): Uint8Array => new Uint8Array(512).fill(fill);

/** What a host that does not hold the reservation may do, by type [NVMe-2.0 §8.19]. */
const access = [
  ['write exclusive', [true, false], [true, false]],
  ['exclusive access', [false, false], [false, false]],
  ['write exclusive, registrants only', [true, true], [true, false]],
  ['exclusive access, registrants only', [true, true], [false, false]],
  ['write exclusive, all registrants', [true, true], [true, false]],
  ['exclusive access, all registrants', [true, true], [false, false]],
] as const;

statement(
  'each type of reservation lets registrants and others do what the standard says',
  async (rig) => {
    const [a, b, c] = [await rig.host(1), await rig.host(2), await rig.host(3)];
    for (const [type, registrant, other] of access) {
      await a.reservations.register({ action: 'register', newKey: 0xan });
      await b.reservations.register({ action: 'register', newKey: 0xbn });
      await a.reservations.acquire({ action: 'acquire', type, key: 0xan });
      for (const [host, [reads, writes]] of [
        [a, [true, true]],
        [b, registrant],
        [c, other],
      ] as const) {
        const read = await nvmeStatusOf(readBlocks(host, 0, block(0)));
        assert.is(read, reads ? 0 : conflict, `${type}: read`);
        const write = await nvmeStatusOf(writeBlocks(host, 0, block(1)));
        assert.is(write, writes ? 0 : conflict, `${type}: write`);
      }
      await a.reservations.release({ action: 'clear', type, key: 0xan });
    }
  },
);

statement(
  'the report names hosts, controllers and the holder, also one that has gone',
  async (rig) => {
    const [a, b] = [await rig.host(1), await rig.host(2)];
    await a.reservations.register({ action: 'register', newKey: 0xan });
    await b.reservations.register({ action: 'register', newKey: 0xbn, persistence: 'on' });
    await b.reservations.acquire({ action: 'acquire', type: 'write exclusive', key: 0xbn });
    await rig.restart();
    const c = await rig.host(3);
    const { registered, ...state } = await c.reservations.report();
    assert.equal(state, { generation: 2, type: 'write exclusive', persistsPowerLoss: true });
    assert.equal(
      registered.map(({ controllerId, isHolder, hostId, key }) => [
        controllerId,
        isHolder,
        hostId[15],
        key,
      ]),
      [
        [0xffff, false, 1, 0xan],
        [0xffff, true, 2, 0xbn],
      ],
    );
    assert.is(await nvmeStatusOf(writeBlocks(c, 0, block(1))), conflict);
    assert.is(await nvmeStatusOf(writeBlocks(await rig.host(2), 0, block(1))), 0);
  },
);

statement(
  'a target that keeps nothing says so, and takes no persistence',
  async (rig) => {
    const a = await rig.host(1);
    assert.not.ok(a.reservations.canPersist);
    assert.is(a.reservations.kinds.length, 6);
    const wanted = { action: 'register', newKey: 1n, persistence: 'on' } as const;
    assert.is(await nvmeStatusOf(a.reservations.register(wanted)), 0x002);
    await a.reservations.register({ action: 'register', newKey: 1n });
    await rig.restart();
    assert.equal((await (await rig.host(1)).reservations.report()).registered, []);
  },
  { isForgetful: true },
);

statement(
  'a preemption is answered when nothing of the preempted host is inside the device',
  async (rig) => {
    const [a, b] = [await rig.host(1), await rig.host(2)];
    await a.reservations.register({ action: 'register', newKey: 0xan });
    await b.reservations.register({ action: 'register', newKey: 0xbn });
    const type = 'exclusive access, registrants only';
    await a.reservations.acquire({ action: 'acquire', type, key: 0xan });
    rig.device.isHeld = true;
    const { submitted } = rig.device;
    const late = nvmeStatusOf(writeBlocks(a, 5, block(7)));
    await until('the write is inside', () => rig.device.submitted > submitted);
    let isOver = false;
    const preempt = { action: 'preemptAndAbort', preemptKey: 0xan } as const;
    const taken = b.reservations.acquire({ ...preempt, type, key: 0xbn }).then(() => {
      isOver = true;
    });
    for (let isSeen = false; !isSeen; ) {
      const { registered } = await b.reservations.report();
      isSeen = registered.length === 1;
    }
    // What comes now is refused, while the preemption waits for what came before.
    assert.is(await nvmeStatusOf(writeBlocks(a, 6, block(8))), conflict);
    assert.not.ok(isOver);
    rig.device.isHeld = false;
    await taken;
    assert.is(await late, 0);
    const back = block(0);
    await readBlocks(b, 5, back);
    assert.equal(back, block(7));
  },
);

statement(
  'a write whose data comes after the preemption is refused, though it was asked for before',
  async (rig) => {
    const [a, b] = [await rig.host(1), await rig.host(2)];
    await b.reservations.register({ action: 'register', newKey: 0xbn });
    const request = new BlockRequest(() => {});
    const bytes = 256 * 1024;
    const state: { status: BlockStatus | null } = { status: null };
    request.done = ({ status }) => {
      state.status = status;
    };
    Object.assign(request, { op: BlockOp.write, lba: 0, blockCount: bytes / 512 });
    request.setData(a.memory.allocate(bytes), 0, bytes);
    a.submit(request);
    // The capsule goes; its data only when it was asked for, which nobody looks at yet.
    await b.reservations.acquire({ action: 'acquire', type: 'write exclusive', key: 0xbn });
    await until('the write has ended', () => {
      a.poll();
      return state.status !== null;
    });
    assert.is(state.status, BlockStatus.accessDenied);
  },
);

statement(
  'a mirror on a namespace of a target: the writer that slept is refused, also after a restart',
  async (rig) => {
    const [a, b] = [await rig.host(1), await rig.host(2)];
    const known = { clusterId, volumeId, memberId: idOf(0) };
    const geometry = await RawMember.format(a, known, 16);
    const store = new MemoryStore(rigClock);
    await createMirror(store, { clusterId, volumeId, memberIds: [idOf(0)], ...geometry });
    let seed = 0;
    const attach = (namespace: RemoteNamespace, writer: string): Promise<Mirror> => {
      const { memory } = namespace;
      return Mirror.attach({
        ...{ store, volumeId, writer, memory, clock: rigClock, isForced: true, requestCount: 8 },
        ports: [new RawMember({ id: idOf(0), namespace })],
        random: (bytes) => bytes.fill(++seed),
      });
    };
    const one = await attach(a, 'one');
    await writeBlocks(one.device, 3, block(0x11));
    const two = await attach(b, 'two');
    await writeBlocks(two.device, 3, block(0x22));
    assert.is(await nvmeStatusOf(writeBlocks(a, 2048 + 3, block(0x33))), conflict);
    assert.is(await codeOf(writeBlocks(one.device, 3, block(0x33))), 'COMMAND_FAILED');
    assert.is((await one.stopped)?.code, 'MIRROR_FENCED');
    await rig.restart();
    assert.is(await nvmeStatusOf(writeBlocks(await rig.host(1), 2048 + 3, block(0x33))), conflict);
    const later = await attach(await rig.host(2), 'two');
    const back = block(0);
    await readBlocks(later.device, 3, back);
    assert.is(back[0], 0x22);
  },
);

test.run();
