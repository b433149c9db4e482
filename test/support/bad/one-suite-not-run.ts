import { suite } from '../suite.js';

const first = suite('first');
first('passes', () => {});
first.run();

const second = suite('second');
second('never runs', () => {});
