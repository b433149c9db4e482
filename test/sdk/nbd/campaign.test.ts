import * as assert from 'uvu/assert';
import { campaignOfNbd } from '../../fuzz/nbd.js';
import { NbdPeerModel } from '../../support/nbd-peer-model.js';
import { fromHex, option, request, u16, u32 } from '../../support/nbd-rig.js';
import { suite } from '../../support/suite.js';

const test = suite('NBD campaign');

test('a few thousand messages that break every rule break nothing', async () => {
  const { violation, tally } = await campaignOfNbd.explore(1, performance.now() + 300);
  assert.is(violation, null);
  // A slow machine still has tried one connection's worth.
  assert.ok(tally.messages! > 30, `${tally.messages} messages`);
});

test('the model that judges the server sees what is wrong', () => {
  const going = (): NbdPeerModel => {
    const model = new NbdPeerModel({ now: () => 4096, mostBytes: 8192 }, 512);
    const go = option(7, u32(4), Buffer.from('disk'), u16(0));
    assert.is(model.heard(Buffer.alloc(18)), null);
    model.said(Buffer.concat([fromHex('00000003'), go]));
    assert.is(model.heard(fromHex('0003e889045565a9 00000007 00000001 00000000')), null);
    return model;
  };
  const bad: readonly (readonly [request: Buffer, answer: string, fault: RegExp])[] = [
    [request({ command: 3 }), '67446698 00000005 0000000000000001', /answered 5/],
    [request({ command: 3 }), '67446698 00000000 0000000000000002', /nothing that was asked/],
    [request({ command: 3 }), '67446699 00000000 0000000000000001', /without its magic/],
    [
      request({ command: 9 }),
      '67446698 00000000 0000000000000001',
      /answered 0, not one of \[22\]/,
    ],
    [request({ command: 8, offset: 8192 }), '67446698 00000000 0000000000000001', /has not grown/],
    [
      request({ command: 8, offset: 512 }),
      '67446698 00000000 0000000000000001',
      /answered 0, not one of \[22\]/,
    ],
    [
      request({ command: 5, offset: 4096, length: 512 }),
      '67446698 00000000 0000000000000001',
      /answered 0, not one of \[22\]/,
    ],
  ];
  for (const [said, answer, fault] of bad) {
    const model = going();
    model.said(said);
    assert.match(model.missing() ?? '', /have no answer/);
    assert.match(model.heard(fromHex(answer)) ?? '', fault);
  }
});

test.run();
