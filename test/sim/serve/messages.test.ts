import * as assert from 'uvu/assert';
import { suite } from '../../support/suite.js';
import { command, EINVAL, EOPNOTSUPP, hex, pack, ServeRig, u16, u32 } from './rig.js';

const test = suite('vfio-user messages');

/** Device info, id 0x1234, as bytes of the protocol's text. */
const getInfo = hex(`
  34 12 04 00  20 00 00 00  00 00 00 00  00 00 00 00
  10 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00`);
const infoReply = hex(`
  34 12 04 00  20 00 00 00  01 00 00 00  00 00 00 00
  10 00 00 00  03 00 00 00  09 00 00 00  05 00 00 00`);
/** Version 0.1 without capabilities. */
const version = hex(`
  01 00 01 00  28 00 00 00  00 00 00 00  00 00 00 00
  00 00 01 00  7b 22 63 61 70 61 62 69 6c 69 74 69 65 73 22 3a 7b 7d 7d 00`);
const versionReply = hex(`
  01 00 01 00  28 00 00 00  01 00 00 00  00 00 00 00
  00 00 01 00  7b 22 63 61 70 61 62 69 6c 69 74 69 65 73 22 3a 7b 7d 7d 00`);

test('a version message is answered byte for byte as the text lays it out', () => {
  const rig = new ServeRig({ isNegotiated: false });
  rig.raw(version);
  assert.equal(rig.socket.sent, [...versionReply]);
});

test('device info is answered byte for byte as the text lays it out', () => {
  const rig = new ServeRig();
  rig.socket.sent.length = 0;
  rig.raw(getInfo);
  assert.equal(rig.socket.sent, [...infoReply]);
});

test('a command before the version ends the connection without an answer', () => {
  const rig = new ServeRig({ isNegotiated: false });
  rig.raw(getInfo);
  assert.is(rig.isOpen, false);
  assert.is(rig.socket.isClosed, true);
  assert.equal(rig.socket.sent, []);
  assert.match(rig.server.status.lastClose, /before the version/);
});

test('a version with another major is answered with an error, and the connection ends', () => {
  const rig = new ServeRig({ isNegotiated: false });
  assert.is(rig.refuse(1, hex('01 00 00 00')), EOPNOTSUPP);
  assert.is(rig.isOpen, false);
});

test('a second version is refused, and the session goes on', () => {
  const rig = new ServeRig();
  assert.is(rig.refuse(1, hex('00 00 01 00')), EINVAL);
  rig.done(4, pack([16, 4], [0, 4], [0, 4], [0, 4]));
});

test('a message that arrives byte by byte is one message', () => {
  const rig = new ServeRig();
  rig.socket.sent.length = 0;
  for (const byte of getInfo.subarray(0, -1)) {
    rig.raw(Uint8Array.of(byte));
    assert.is(rig.socket.sent.length, 0, 'nothing is answered before the last byte');
  }
  rig.raw(getInfo.subarray(-1));
  assert.equal(rig.socket.sent, [...infoReply]);
});

test('messages that arrive together are answered one by one, in their order', () => {
  const rig = new ServeRig();
  const second = Uint8Array.from(getInfo);
  second[0] = 0x35;
  rig.raw(Uint8Array.from([...getInfo, ...second, ...getInfo]));
  assert.equal([rig.hear()?.id, rig.hear()?.id, rig.hear()?.id], [0x1234, 0x1235, 0x1234]);
  assert.is(rig.hear(), null);
});

test('ids may repeat', () => {
  const rig = new ServeRig();
  rig.raw(getInfo);
  rig.raw(getInfo);
  assert.equal([rig.hear()?.id, rig.hear()?.id], [0x1234, 0x1234]);
});

test('a command that wants no reply gets none, also when it fails', () => {
  const rig = new ServeRig();
  rig.socket.sent.length = 0;
  rig.raw(command(7, 4, pack([16, 4], [0, 4], [0, 4], [0, 4]), 0x10));
  rig.raw(command(8, 4, pack([0, 4], [0, 4], [0, 4], [0, 4]), 0x10));
  rig.raw(command(9, 99, hex(''), 0x10));
  assert.equal(rig.socket.sent, []);
  assert.ok(rig.isOpen);
});

test('a command without reply has been carried out when a later one is answered', () => {
  const rig = new ServeRig();
  const write = command(1, 10, rig.access(7, 0x3c, 1, hex('5a')), 0x10);
  rig.raw(Uint8Array.from([...write, ...command(2, 9, rig.access(7, 0x3c, 1))]));
  const heard = rig.hear();
  assert.is(heard?.id, 2);
  assert.is(heard?.payload[16], 0x5a);
});

test('commands that the protocol does not have are refused', () => {
  const rig = new ServeRig();
  for (const number of [0, 14, 19, 255, 0xffff]) {
    assert.is(rig.refuse(number, new Uint8Array(64)), EINVAL, `command ${number}`);
  }
});

test('commands that go from server to client are refused', () => {
  const rig = new ServeRig();
  assert.is(rig.refuse(11, pack([0x1000, 8], [4, 8])), EINVAL);
  assert.is(rig.refuse(12, pack([0x1000, 8], [4, 8], [0, 4])), EINVAL);
});

test('migration and features are refused by name', () => {
  const rig = new ServeRig();
  assert.is(rig.refuse(16, pack([8, 4], [0x0005_0001, 4])), EOPNOTSUPP);
  assert.is(rig.refuse(17, pack([8, 4], [0, 4])), EOPNOTSUPP);
  assert.is(rig.refuse(18, pack([8, 4], [0, 4])), EOPNOTSUPP);
});

const leastBytes: readonly (readonly [number: number, bytes: number])[] = [
  [2, 32],
  [3, 24],
  [4, 16],
  [5, 32],
  [6, 16],
  [7, 16],
  [8, 20],
  [9, 16],
  [10, 16],
  [15, 8],
  [16, 8],
  [17, 8],
  [18, 8],
];
for (const [number, bytes] of leastBytes) {
  test(`a payload of command ${number} that is a byte short of ${bytes} is refused`, () => {
    const rig = new ServeRig();
    for (const length of [0, 1, bytes - 1]) {
      const payload = new Uint8Array(length).fill(0xff);
      assert.is(rig.refuse(number, payload), EINVAL, `${length} bytes`);
    }
    assert.ok(rig.isOpen);
  });
}

test('a size below that of a header ends the connection', () => {
  for (const size of [0, 1, 15]) {
    const rig = new ServeRig();
    rig.raw(pack([1, 2], [4, 2], [size, 4], [0, 4], [0, 4]));
    assert.is(rig.isOpen, false, `size ${size}`);
    assert.match(rig.server.status.lastClose, /a message of \d+ bytes/);
  }
});

test('the longest message carries 1 MiB of data; a byte more ends the connection', () => {
  const longest = 16 + 16 + 1_048_576;
  const rig = new ServeRig();
  rig.raw(pack([1, 2], [10, 2], [longest, 4], [0, 4], [0, 4]));
  rig.raw(new Uint8Array(longest - 16));
  assert.is(rig.hear()?.error, EINVAL, 'too long for the region, but a message');
  const other = new ServeRig();
  other.raw(pack([1, 2], [10, 2], [longest + 1, 4], [0, 4], [0, 4]));
  assert.is(other.isOpen, false);
});

test('a message of a type that is neither command nor reply ends the connection', () => {
  for (const type of [2, 7, 15]) {
    const rig = new ServeRig();
    rig.raw(pack([1, 2], [4, 2], [16, 4], [type, 4], [0, 4]));
    assert.is(rig.isOpen, false, `type ${type}`);
  }
});

test('a reply to nothing ends the connection', () => {
  const rig = new ServeRig();
  rig.raw(pack([1, 2], [11, 2], [32, 4], [1, 4], [0, 4], [0x1000, 8], [4, 8]));
  assert.is(rig.isOpen, false);
});

test('reserved flags and the error field of a command are ignored', () => {
  const rig = new ServeRig();
  rig.raw(pack([1, 2], [4, 2], [32, 4], [0xffff_ffc0, 4], [77, 4], [16, 4], [0, 4], [0, 8]));
  assert.is(rig.hear()?.flags, 1);
});

test('a peer that goes away between any two bytes costs its connection and no descriptor', () => {
  const map = command(5, 2, new ServeRig().mapping(0x1000, 0x1000));
  for (let cut = 0; cut <= map.length; cut++) {
    const rig = new ServeRig();
    const before = rig.system.open.size;
    rig.socket.arrive(map.subarray(0, cut), [rig.system.memoryFd(new Uint8Array(4096))]);
    rig.socket.isPeerGone = true;
    rig.pump();
    assert.is(rig.isOpen, false, `cut after ${cut} bytes`);
    const kept = cut === 0 ? 1 : 0;
    assert.is(rig.system.open.size, before + kept, `descriptors after ${cut} bytes`);
    assert.is(rig.system.mappedCount, 0);
  }
});

test('answers wait for room in the socket, and no further command is taken meanwhile', () => {
  const rig = new ServeRig();
  rig.socket.room = 20;
  const write = command(2, 10, rig.access(7, 0x3c, 1, hex('77')));
  rig.raw(Uint8Array.from([...getInfo, ...write]));
  assert.is(rig.hear(), null);
  assert.is(rig.server.isBlocked, true);
  assert.is(rig.server.card.function.readConfig(0x3c) & 0xff, 0, 'the write has to wait');
  rig.socket.room = 1000;
  rig.pump();
  assert.is(rig.hear()?.id, 0x1234);
  assert.is(rig.hear()?.id, 2);
  assert.is(rig.server.isBlocked, false);
});

test('a peer that goes away while answers wait ends its session', () => {
  const rig = new ServeRig();
  rig.socket.room = 0;
  rig.raw(getInfo);
  rig.socket.isPeerGone = true;
  rig.pump();
  assert.is(rig.isOpen, false);
});

test('descriptors with a command that takes none are closed, and the command refused', () => {
  for (const number of [3, 4, 5, 6, 7, 9, 10, 13, 15, 16, 17, 18]) {
    const rig = new ServeRig();
    const before = rig.system.open.size;
    const fds = [rig.system.eventFd(), rig.system.memoryFd(new Uint8Array(16))];
    assert.is(rig.refuse(number, new Uint8Array(64), fds), EINVAL, `command ${number}`);
    assert.is(rig.system.open.size, before);
  }
});

test('more descriptors than a message may carry are closed, and the command refused', () => {
  const rig = new ServeRig();
  const before = rig.system.open.size;
  const fds = Array.from({ length: 17 }, () => rig.system.eventFd());
  const set = pack([20, 4], [0x24, 4], [2, 4], [0, 4], [17, 4]);
  assert.is(rig.refuse(8, set, fds), EINVAL);
  assert.is(rig.system.open.size, before);
});

test('a device reset has no payload in either direction', () => {
  const rig = new ServeRig();
  rig.raw(hex('aa 00 0d 00  10 00 00 00  00 00 00 00  00 00 00 00'));
  const sent = rig.socket.sent.slice(-16);
  assert.equal(sent, [...hex('aa 00 0d 00  10 00 00 00  01 00 00 00  00 00 00 00')]);
});

test('the capabilities of the answer are ours: 16 descriptors, 1 MiB, 65535 maps, 4 KiB', () => {
  const rig = new ServeRig({ isNegotiated: false });
  const names = '"max_msg_fds":1,"max_data_xfer_size":1,"max_dma_maps":1,"pgsizes":1';
  const { payload } = rig.negotiate(`{"capabilities":{${names}}}\0`);
  assert.is(u16(payload, 0), 0);
  assert.is(u32(payload, 0), 0x0001_0000);
  assert.equal(JSON.parse(Buffer.from(payload.subarray(4, -1)).toString()), {
    capabilities: {
      max_msg_fds: 16,
      max_data_xfer_size: 1_048_576,
      max_dma_maps: 65_535,
      pgsizes: 4096,
    },
  });
});

test.run();
