import { suite } from '../suite.js';

process.on('exit', () => {
  throw new Error('at exit');
});
const test = suite('exit handler');
test('passes', () => {});
test.run();
