import * as assert from 'uvu/assert';
import { behindText } from '../../../sdk/cli/cluster-members.js';
import { suite } from '../../support/suite.js';

const test = suite('members that have not everything, in words');
const back = { id: 'n2', state: 'Up', condition: 'Resync', outOfSyncSinceNs: 1 } as const;

test('one that is brought up to date lacks regions, and may have to wait', () => {
  assert.is(behindText({ ...back, missingRegions: 1, why: '' }), 'n2 lacks 1 region');
  assert.is(behindText({ ...back, missingRegions: 500, why: '' }), 'n2 lacks 500 regions');
  const waits = behindText({ ...back, missingRegions: 2, why: 'nobody can read block 9' });
  assert.is(waits, 'n2 lacks 2 regions (nobody can read block 9)');
});

test('one that is away is away for a reason', () => {
  const away = { ...back, state: 'Down', condition: 'OutOfSync', missingRegions: 0 } as const;
  assert.is(behindText({ ...away, why: 'its connection was lost' }), 'n2 its connection was lost');
});

test.run();
