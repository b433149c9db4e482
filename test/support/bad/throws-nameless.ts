import { test } from 'uvu';

test('throws an Error whose name is no string', () => {
  throw Object.assign(new Error('nameless'), { name: 7 });
});
test.run();
