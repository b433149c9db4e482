import { restoreWorld, saveCard } from '../../sim/checkpoint/checkpoint.js';
import { openSimulated } from '../../sim/open.js';
import type { Prng } from '../../sim/prng.js';
import { checkpointCards, WildHost } from '../sim/checkpoint/wild-host.js';
import { type Campaign, campaign } from '../support/campaign.js';

/** So many steps of the host, and whether the run is cut behind them. */
interface Step {
  readonly card: string;
  readonly steps: number;
  readonly isCut: boolean;
}

const storm: Campaign<Step> = {
  claim:
    'a run that is saved and restored at any number of places ends with the events, the time and ' +
    'the state, to the last byte, of the run that was not',
  plan,
  run,
};

export const stormOfCheckpoint = campaign(storm);

function plan(prng: Prng): Step[] {
  const card = checkpointCards[prng.below(checkpointCards.length)]!;
  return Array.from({ length: 3 + prng.below(8) }, () => ({
    card,
    steps: 1 + prng.below(80),
    isCut: prng.chance(0.6),
  }));
}

function run(steps: readonly Step[], seed: number, tally: Record<string, number>): string | null {
  const address = `${steps[0]?.card ?? checkpointCards[0]}&seed=${seed}`;
  const whole = WildHost.on(openSimulated(address), seed);
  let moved = WildHost.on(openSimulated(address), seed);
  let at = 0;
  for (const { steps: count, isCut } of steps) {
    whole.run(at, at + count);
    moved.run(at, at + count);
    at += count;
    if (!isCut) continue;
    const bytes = saveCard(moved.host.card);
    moved = moved.movedTo(restoreWorld(bytes).cards[0]!);
    tally.restores = (tally.restores ?? 0) + 1;
    tally.bytes = (tally.bytes ?? 0) + bytes.length;
  }
  const [a, b] = [whole, moved].map(({ host }) => host.card.world);
  tally.events = (tally.events ?? 0) + a!.eventCount;
  if (a!.eventHash !== b!.eventHash) return `hash ${a!.eventHash} became ${b!.eventHash}`;
  if (a!.nowNs !== b!.nowNs) return `time ${a!.nowNs} became ${b!.nowNs}`;
  const isSame = Buffer.compare(saveCard(whole.host.card), saveCard(moved.host.card)) === 0;
  return isSame ? null : 'the last states differ';
}
