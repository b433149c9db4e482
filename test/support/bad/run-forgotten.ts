import { test } from 'uvu';

test('never runs', () => {});
