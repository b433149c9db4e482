import * as assert from 'uvu/assert';
import { suite } from '../../support/suite.js';
import { type HostRing, Rig } from './rig.js';

const test = suite('interrupts of completion queues');

function rigWith(vectors: readonly number[]): { rig: Rig; rings: HostRing[] } {
  const rig = new Rig();
  rig.enable();
  const rings = vectors.map((vector, i) => rig.pair(i + 1, 64, { vector }));
  return { rig, rings };
}

function send(ring: HostRing, count: number): void {
  for (let i = 0; i < count; i++) ring.put({ cid: ring.tail });
  ring.ring();
}

test('every entry fires the vector of its queue when nothing is coalesced', () => {
  const { rig, rings } = rigWith([1, 2, 1]);
  for (const ring of rings) send(ring, 3);
  rig.run();
  assert.equal([...rig.link.raised.slice(0, 4)], [0, 6, 3, 0]);
});

test('a queue without interrupts fires nothing', () => {
  const rig = new Rig();
  rig.enable();
  send(rig.pair(1, 64), 5);
  rig.run();
  assert.equal(rig.link.raisedAtNs, []);
});

test('at the threshold the vector fires once for all of them', () => {
  const { rig, rings } = rigWith([1]);
  rig.controller.services.setInterruptCoalescing({ threshold: 4, timeNs: 1_000_000_000 });
  send(rings[0]!, 8);
  rig.run(1_000_000);
  assert.is(rig.link.raised[1], 2);
});

test('below the threshold it fires when the time since the first entry is over', () => {
  const { rig, rings } = rigWith([1]);
  rig.controller.services.setInterruptCoalescing({ threshold: 100, timeNs: 300_000 });
  let firstNs = 0;
  rig.controller.observe({
    completed: (command) => {
      if (firstNs === 0) firstNs = command.postedNs;
    },
  });
  send(rings[0]!, 3);
  rig.run(200_000);
  assert.is(rig.link.raised[1], 0);
  send(rings[0]!, 2);
  rig.run();
  assert.equal(rig.link.raisedAtNs, [firstNs + 300_000]);
});

test('after the threshold has fired the time starts with the next entry', () => {
  const { rig, rings } = rigWith([1]);
  rig.controller.services.setInterruptCoalescing({ threshold: 2, timeNs: 300_000 });
  const postedNs: number[] = [];
  rig.controller.observe({ completed: (command) => postedNs.push(command.postedNs) });
  send(rings[0]!, 2);
  rig.run(100_000);
  send(rings[0]!, 1);
  rig.run();
  assert.equal(rig.link.raisedAtNs, [postedNs[1], postedNs[2]! + 300_000]);
});

test('a vector that is exempt fires at once, the others wait', () => {
  const { rig, rings } = rigWith([1, 2]);
  const services = rig.controller.services;
  services.setInterruptCoalescing({ threshold: 50, timeNs: 1_000_000_000_000 });
  assert.is(services.setVectorCoalescing(2, true), 0);
  for (const ring of rings) send(ring, 3);
  rig.run();
  assert.equal([rig.link.raised[1], rig.link.raised[2]], [0, 3]);
});

test('coalescing of a vector that no queue uses is an invalid field', () => {
  const { rig } = rigWith([1]);
  assert.is(rig.controller.services.setVectorCoalescing(5, true), 2);
  assert.is(rig.controller.services.setVectorCoalescing(9999, true), 2);
});

test('the admin queue is never coalesced', () => {
  const rig = new Rig();
  rig.enable();
  rig.controller.services.setInterruptCoalescing({ threshold: 50, timeNs: 1_000_000_000_000 });
  send(rig.admin, 1);
  rig.run();
  assert.is(rig.link.raised[0], 1);
});

test('coalescing with a time of 0 is off', () => {
  const { rig, rings } = rigWith([1]);
  rig.controller.services.setInterruptCoalescing({ threshold: 50, timeNs: 0 });
  send(rings[0]!, 3);
  rig.run();
  assert.is(rig.link.raised[1], 3);
});

test('a vector masked by INTMS fires once when INTMC clears the mask', () => {
  const { rig, rings } = rigWith([1]);
  rig.write(0x0c, 0b10);
  assert.is(rig.read(0x0c), 0b10);
  assert.is(rig.read(0x10), 0b10);
  send(rings[0]!, 3);
  rig.run();
  assert.is(rig.link.raised[1], 0);
  rig.write(0x10, 0b10);
  assert.is(rig.link.raised[1], 1);
  assert.is(rig.read(0x0c), 0);
  rig.write(0x0c, 0b10);
  rig.write(0x10, 0b10);
  assert.is(rig.link.raised[1], 1, 'nothing came while it was masked again');
});

test('a reset forgets entries that waited for their interrupt', () => {
  const { rig, rings } = rigWith([1]);
  rig.controller.services.setInterruptCoalescing({ threshold: 50, timeNs: 500_000 });
  send(rings[0]!, 3);
  rig.run(100_000);
  rig.write(0x14, 0);
  rig.run();
  assert.equal(rig.link.raisedAtNs, []);
});

test.run();
