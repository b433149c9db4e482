import { suite } from '../suite.js';

const test = suite('hook');
test.before(() => {
  throw new Error('before');
});
test('passes', () => {});
test.run();
