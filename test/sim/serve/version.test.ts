import * as assert from 'uvu/assert';
import { negotiate } from '../../../sim/serve/version.js';
import { suite } from '../../support/suite.js';

const test = suite('vfio-user version negotiation');

const EINVAL = 22;
const EOPNOTSUPP = 95;
const abilities = {
  maxMessageFds: 16,
  maxTransferBytes: 1_048_576,
  maxDmaMaps: 65_535,
  pageSizes: 4096,
};

/** A payload: major, minor, and text with what the caller puts behind it. */
function proposal(minor: number, text = '', major = 0): Uint8Array {
  const bytes = [major & 0xff, major >> 8, minor & 0xff, minor >> 8];
  return Uint8Array.from([...bytes, ...new TextEncoder().encode(text)]);
}

function agreed(payload: Uint8Array) {
  const result = negotiate(payload, abilities);
  if (typeof result === 'number') throw new Error(`refused with ${result}`);
  const { reply } = result;
  const text = new TextDecoder().decode(reply.subarray(4, -1));
  assert.is(reply.at(-1), 0, 'the text ends with NUL');
  return { ...result.agreement, head: [...reply.subarray(0, 4)], answer: JSON.parse(text) };
}

test('a proposal without text means the defaults, and promises nothing but them', () => {
  const { head, answer, peerMessageFds, peerTransferBytes, hasWriteMultiple } = agreed(proposal(0));
  assert.equal(head, [0, 0, 0, 0]);
  assert.equal(answer, { capabilities: {} });
  assert.is(peerMessageFds, 1);
  assert.is(peerTransferBytes, 1_048_576);
  assert.is(hasWriteMultiple, false);
});

test('the lower minor version of the two is the answer', () => {
  assert.equal(agreed(proposal(1)).head, [0, 0, 1, 0]);
  assert.is(agreed(proposal(1)).minor, 1);
  assert.equal(agreed(proposal(0x1234)).head, [0, 0, 3, 0]);
});

test('another major version is refused', () => {
  assert.is(negotiate(proposal(0, '', 1), abilities), EOPNOTSUPP);
  assert.is(negotiate(proposal(0, '', 0x0100), abilities), EOPNOTSUPP);
});

test('what the client names is answered with our values, and nothing else', () => {
  const text = '{"capabilities":{"max_msg_fds":8,"max_dma_maps":10,"unheard_of":[1]}}\0';
  const { answer, peerMessageFds } = agreed(proposal(1, text));
  assert.equal(answer, { capabilities: { max_msg_fds: 16, max_dma_maps: 65_535 } });
  assert.is(peerMessageFds, 8);
});

test('the size of transfers and the page sizes are ours in the answer, its own in the agreement', () => {
  const text = '{"capabilities":{"max_data_xfer_size":4096,"pgsizes":2097152}}\0';
  const { answer, peerTransferBytes } = agreed(proposal(1, text));
  assert.equal(answer, { capabilities: { max_data_xfer_size: 1_048_576, pgsizes: 4096 } });
  assert.is(peerTransferBytes, 4096);
});

test('multiple writes are on only when the client says true', () => {
  const yes = agreed(proposal(1, '{"capabilities":{"write_multiple":true}}\0'));
  assert.equal(yes.answer, { capabilities: { write_multiple: true } });
  assert.is(yes.hasWriteMultiple, true);
  const no = agreed(proposal(1, '{"capabilities":{"write_multiple":false}}\0'));
  assert.equal(no.answer, { capabilities: {} });
  assert.is(no.hasWriteMultiple, false);
});

test('a client that asks for twin sockets is told that there are none', () => {
  const text = '{"capabilities":{"twin_socket":{"supported":true}}}\0';
  assert.equal(agreed(proposal(3, text)).answer, { capabilities: {} });
});

test('text without capabilities is a proposal without capabilities', () => {
  assert.equal(agreed(proposal(1, '{}\0')).answer, { capabilities: {} });
});

test('a client that takes no descriptors may say so', () => {
  assert.is(agreed(proposal(1, '{"capabilities":{"max_msg_fds":0}}\0')).peerMessageFds, 0);
});

const refused: readonly (readonly [why: string, payload: Uint8Array])[] = [
  ['a payload of three bytes', proposal(0).subarray(0, 3)],
  ['text without its NUL', proposal(0, '{}')],
  ['a NUL inside the text', proposal(0, '{}\0\0')],
  ['nothing before the NUL', proposal(0, '\0')],
  ['text that is no JSON', proposal(0, '{capabilities}\0')],
  ['JSON that is no object', proposal(0, '[1]\0')],
  ['null', proposal(0, 'null\0')],
  ['capabilities that are no object', proposal(0, '{"capabilities":[]}\0')],
  ['capabilities that are null', proposal(0, '{"capabilities":null}\0')],
  ['a number of descriptors below 0', proposal(0, '{"capabilities":{"max_msg_fds":-1}}\0')],
  ['a number of descriptors as text', proposal(0, '{"capabilities":{"max_msg_fds":"8"}}\0')],
  ['half a descriptor', proposal(0, '{"capabilities":{"max_msg_fds":1.5}}\0')],
  ['transfers of no byte', proposal(0, '{"capabilities":{"max_data_xfer_size":0}}\0')],
  ['transfers beyond 2^53', proposal(0, '{"capabilities":{"max_data_xfer_size":1e300}}\0')],
  ['multiple writes as a number', proposal(0, '{"capabilities":{"write_multiple":1}}\0')],
  ['more than 4096 bytes of text', proposal(0, `{"a":"${'x'.repeat(4096)}"}\0`)],
  ['text that is no UTF-8', Uint8Array.from([0, 0, 0, 0, 0x22, 0xff, 0x22, 0])],
];
for (const [why, payload] of refused) {
  test(`${why}: refused as invalid`, () => {
    assert.is(negotiate(payload, abilities), EINVAL);
  });
}

test.run();
