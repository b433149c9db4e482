import type { Terminal } from './terminal.js';

/** What a module of a command exports. */
export interface CommandModule {
  /** The text of `ultima COMMAND --help`. */
  readonly usage: string;
  /**
   * @param words what followed the command's name
   * @returns the exit code: 0 done, 1 failed
   * @throws UltimaError USAGE for words that make no sense: exit code 2
   */
  run(words: readonly string[], terminal: Terminal): Promise<number>;
}

export interface CommandEntry {
  readonly summary: string;
  readonly load: () => Promise<CommandModule>;
}

/** The subcommands. Each is loaded when it is asked for. */
export const commands = {
  replay: {
    summary: 'a recorded workload, every byte verified, with a report',
    load: () => import('./replay.js'),
  },
  bench: {
    summary: "random or sequential I/O with fio's option names and JSON",
    load: () => import('./bench.js'),
  },
  compare: {
    summary: 'the latency error of a simulated card against a recorded session',
    load: () => import('./compare.js'),
  },
  fit: {
    summary: 'constants of a profile from a recorded session',
    load: () => import('./fit.js'),
  },
  faults: {
    summary: 'what can go wrong on a simulated card, or check a plan',
    load: () => import('./faults.js'),
  },
  serve: {
    summary: 'cards, devices and volumes for other programs: vfio-user, NBD, NVMe/TCP',
    load: () => import('./serve.js'),
  },
  list: {
    summary: 'the cards of this machine and the simulated ones',
    load: () => import('./list.js'),
  },
  'id-ctrl': {
    summary: 'Identify Controller',
    load: () => import('./id-ctrl.js'),
  },
  'id-ns': {
    summary: 'Identify Namespace',
    load: () => import('./id-ns.js'),
  },
  'smart-log': {
    summary: 'SMART / Health Information log',
    load: () => import('./smart-log.js'),
  },
  metrics: {
    summary: 'health and namespaces for Prometheus',
    load: () => import('./metrics.js'),
  },
  'error-log': {
    summary: 'Error Information log',
    load: () => import('./error-log.js'),
  },
  'get-log': {
    summary: 'any log page',
    load: () => import('./get-log.js'),
  },
  'get-feature': {
    summary: 'any feature',
    load: () => import('./get-feature.js'),
  },
  'show-regs': {
    summary: 'controller registers',
    load: () => import('./show-regs.js'),
  },
  qos: {
    summary: 'tiers, assignments, counters and measured capacity of a card',
    load: () => import('./qos.js'),
  },
  pool: {
    summary: 'pools of thin volumes on files or cards',
    load: () => import('./pool.js'),
  },
  volume: {
    summary: 'thin volumes of a pool',
    load: () => import('./volume.js'),
  },
  snapshot: {
    summary: 'snapshots of volumes',
    load: () => import('./snapshot.js'),
  },
  cluster: {
    summary: 'mirrored volumes over nodes, and a whole cluster to try out',
    load: () => import('./cluster.js'),
  },
  node: {
    summary: 'be a node of a cluster',
    load: () => import('./node.js'),
  },
  attach: {
    summary: 'a mirrored volume here, for NBD clients',
    load: () => import('./attach.js'),
  },
  doctor: {
    summary: 'what a real card needs here, and how it stands',
    load: () => import('./doctor.js'),
  },
  bind: {
    summary: 'take a real controller from the kernel',
    load: () => import('./bind.js'),
  },
  unbind: {
    summary: 'give it back',
    load: () => import('./unbind.js'),
  },
  'build-native': {
    summary: 'compile the addon for real cards',
    load: () => import('./build-native.js'),
  },
} as const satisfies Readonly<Record<string, CommandEntry>>;
