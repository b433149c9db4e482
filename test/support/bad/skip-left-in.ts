import { test } from 'uvu';

test('runs', () => {});
test.skip('does not run', () => {});
test.run();
