import { test } from 'uvu';

test('leaves a promise alone', () => {
  setTimeout(() => Promise.reject(new Error('later')), 20);
});
test.run();
