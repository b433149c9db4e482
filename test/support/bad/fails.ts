import { test } from 'uvu';
import * as assert from 'uvu/assert';

test('one is two', () => {
  assert.is(1, 2);
});
test.run();
