import { test } from 'uvu';

test.only('runs', () => {});
test('does not run', () => {});
test.run();
