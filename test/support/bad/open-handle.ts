import { test } from 'uvu';

setInterval(() => {}, 1000);
test('passes', () => {});
test.run();
