import { suite } from '../suite.js';

const test = suite('late');
test('passes', () => {});
test.run();
test('comes too late', () => {});
