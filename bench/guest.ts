import { runMachine } from '../test/guest/machine.js';
import { guestDirectory, whyNotGuest } from '../test/guest/prepare.js';

const limitMs = 300_000;

/**
 * Boot the guest and let it measure.
 *
 * @param group  cases that print a line of figures, and demand what they are worth something for
 * @throws Error with what keeps the guest from running here, or what it said when it failed
 */
export async function guestFigures(group: string): Promise<Readonly<Record<string, number>>> {
  const obstacle = whyNotGuest(guestDirectory);
  if (obstacle !== null) throw new Error(`no guest: ${obstacle}`);
  let figures: Record<string, number> | null = null;
  const said: string[] = [];
  const { code } = await runMachine({
    directory: guestDirectory,
    what: [group],
    limitMs,
    onLine: (line) => {
      said.push(line);
      if (line.startsWith('FIGURES ')) figures = JSON.parse(line.slice('FIGURES '.length));
    },
  });
  if (code === 0 && figures !== null) return figures;
  throw new Error(`the guest gave no figures that count:\n${said.join('\n')}`);
}
