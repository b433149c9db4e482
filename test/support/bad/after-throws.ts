import { test } from 'uvu';

test.after(() => {
  throw new Error('after');
});
test('passes', () => {});
test.run();
