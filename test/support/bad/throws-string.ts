import { test } from 'uvu';

test('throws a string', () => {
  throw 'a string';
});
test.run();
