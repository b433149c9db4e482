import { suite } from '../suite.js';

const test = suite('exit');
test('leaves early', () => {
  process.exit(0);
});
test.run();
