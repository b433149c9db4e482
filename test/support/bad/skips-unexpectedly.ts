import { skip, suite } from '../suite.js';

const test = suite('skips');
test('passes', () => {});
test('skips', () => skip('it is Monday'));
test.run();
