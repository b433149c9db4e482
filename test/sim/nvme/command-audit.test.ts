import * as assert from 'uvu/assert';
import { CommandAudit } from '../../../sim/nvme/command-audit.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';

const test = suite('audit of commands');

function at(fetchedNs: number, postedNs = 0) {
  return { fetchedNs, postedNs };
}

/** A random run; `lose` and `twice` make it forget the end of one command, or end one twice. */
function runOf(seed: number, fault: 'none' | 'lose' | 'twice') {
  const prng = new Prng(seed, 'audit');
  const audit = new CommandAudit();
  const inside: number[] = [];
  let nowNs = 0;
  for (let i = 0; i < 1000; i++) {
    nowNs += prng.below(1000);
    if (inside.length === 0 || (inside.length < 32 && prng.below(2) === 0)) {
      audit.enter(at(nowNs));
      inside.push(nowNs);
    } else {
      const [entered = 0] = inside.splice(prng.below(inside.length), 1);
      if (fault === 'lose' && i > 500 && i < 510) continue;
      audit.complete(at(entered, nowNs));
      if (fault === 'twice' && i > 500 && i < 510) audit.complete(at(entered, nowNs));
    }
  }
  for (const entered of inside) audit.drop(at(entered), { nowNs });
  return { audit, nowNs };
}

test('a run that adds up has no violation, and its mean in flight is Little’s law', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { audit, nowNs } = runOf(seed, 'none');
    assert.equal(audit.violations(nowNs, 0), []);
    assert.is(audit.fetched, audit.completed + audit.dropped);
    const byLittle = audit.insideNs / nowNs;
    assert.ok(Math.abs(audit.meanInFlight(nowNs) - byLittle) < 1e-9);
  }
});

test('a command that is lost, or ends twice, is a violation', () => {
  for (const fault of ['lose', 'twice'] as const) {
    const { audit, nowNs } = runOf(7, fault);
    assert.is(audit.violations(nowNs, 0).length, 1, fault);
    assert.match(audit.violations(nowNs, 0)[0]!, /commands fetched/);
  }
});

test('times that do not add up are a violation although the counts do', () => {
  const audit = new CommandAudit();
  audit.enter(at(100));
  audit.complete(at(90, 200));
  assert.match(audit.violations(200, 0)[0]!, /110 ns inside, 100 ns were counted/);
});

test.run();
