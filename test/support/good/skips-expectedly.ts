import { skip, suite } from '../suite.js';

const test = suite('good');
test('passes', () => {});
test('skips', () => skip('no VFIO device: ULTIMA_DEVICE is not set'));
test.run();
