import { posix } from 'node:path';
import type { Source, Violation } from './source.js';

interface Rule {
  /** A folder, or a file without its extension. The longest that fits a path counts. */
  readonly area: string;
  /** Areas it may import besides itself. */
  readonly may: readonly string[];
  /** Modules of Node. */
  readonly node?: readonly string[];
}

const ground: readonly string[] = ['sdk/assert', 'sdk/crc32c', 'sdk/errors', 'sdk/units'];
const sdkBelowCli: readonly string[] = [
  ...ground,
  'sdk/folder',
  'sdk/spec',
  'sdk/device',
  'sdk/faults',
  'sdk/block',
  'sdk/reservations',
  'sdk/nvme',
  'sdk/qos',
  'sdk/volume',
  'sdk/cluster',
  'sdk/mirror',
  'sdk/node',
  'sdk/sockets',
  'sdk/nbd',
  'sdk/fabric',
  'sdk/observe',
  'sdk/trace',
  'sdk/open',
  'sdk/policy',
];
const anyOfNode: readonly string[] = ['*'];

/** Who may import whom: the layers of the package, lowest first. */
export const importRules: readonly Rule[] = [
  { area: 'sdk/assert', may: [] },
  { area: 'sdk/crc32c', may: [] },
  { area: 'sdk/errors', may: [] },
  { area: 'sdk/units', may: [] },
  { area: 'sdk/folder', may: ground, node: ['fs'] },
  { area: 'sdk/device', may: [] },
  { area: 'sdk/spec', may: ['sdk/assert', 'sdk/units'] },
  { area: 'sdk/faults', may: [...ground, 'sdk/spec'] },
  { area: 'sdk/block', may: [...ground, 'sdk/device'] },
  // The device's side, of simulated cards and of namespaces that are served, and the host's.
  { area: 'sdk/reservations', may: [...ground, 'sdk/spec'] },
  { area: 'sdk/reservations/host', may: [...ground, 'sdk/spec', 'sdk/block'] },
  {
    area: 'sdk/nvme',
    may: [...ground, 'sdk/spec', 'sdk/device', 'sdk/block', 'sdk/reservations'],
  },
  { area: 'sdk/block/file', may: [...ground, 'sdk/device', 'sdk/block'], node: ['fs'] },
  { area: 'sdk/block/file-lock', may: ground, node: ['fs', 'net'] },
  { area: 'sdk/block/system-device', may: ground, node: ['fs'] },
  { area: 'sdk/qos', may: [...ground, 'sdk/device', 'sdk/block'] },
  { area: 'sdk/volume', may: [...ground, 'sdk/spec', 'sdk/device', 'sdk/block'] },
  {
    area: 'sdk/volume/cipher',
    may: [...ground, 'sdk/volume'],
    node: ['crypto'],
  },
  { area: 'sdk/cluster', may: [...ground, 'sdk/device'] },
  // The stores themselves: etcd over HTTP, a folder on disk, and the server of it.
  {
    area: 'sdk/cluster/log-file',
    may: [...ground, 'sdk/cluster'],
    node: ['fs', 'fs/promises', 'net', 'path'],
  },
  { area: 'sdk/cluster/etcd-client', may: [...ground, 'sdk/cluster'], node: ['http', 'https'] },
  {
    area: 'sdk/cluster/store-server',
    may: [...ground, 'sdk/cluster'],
    node: ['http', 'https', 'net'],
  },
  {
    area: 'sdk/mirror',
    may: [...ground, 'sdk/spec', 'sdk/device', 'sdk/block', 'sdk/cluster'],
  },
  // What makes nodes of pools, and a cluster of nodes.
  {
    area: 'sdk/node',
    may: [
      ...ground,
      'sdk/spec',
      'sdk/device',
      'sdk/block',
      'sdk/qos',
      'sdk/volume',
      'sdk/cluster',
      'sdk/mirror',
      'sdk/sockets',
      'sdk/fabric',
    ],
  },
  // Sockets, what is sent at them, and the loop that serves devices there.
  {
    area: 'sdk/sockets',
    may: [...ground, 'sdk/device'],
    node: ['dns/promises', 'fs', 'net', 'path', 'tls', 'util'],
  },
  // The one file that chooses between the addon and node:net.
  { area: 'sdk/sockets/open', may: ['sdk/sockets', 'native'] },
  {
    area: 'sdk/nbd',
    may: [...ground, 'sdk/spec', 'sdk/device', 'sdk/block', 'sdk/qos', 'sdk/volume', 'sdk/sockets'],
    node: ['tls'],
  },
  {
    area: 'sdk/fabric',
    may: [...ground, 'sdk/spec', 'sdk/device', 'sdk/block', 'sdk/reservations', 'sdk/sockets'],
    node: ['crypto', 'net'],
  },
  { area: 'sdk/observe', may: ground, node: ['fs', 'path'] },
  {
    area: 'sdk/trace',
    may: [...ground, 'sdk/device', 'sdk/block', 'sdk/observe'],
    node: anyOfNode,
  },
  {
    area: 'sdk/open',
    may: [...ground, 'sdk/device', 'sdk/faults', 'sdk/block', 'sim', 'native'],
    node: anyOfNode,
  },
  // The one place that chooses between a card that schedules by itself and a gate.
  { area: 'sdk/policy', may: [...ground, 'sdk/block', 'sdk/nvme', 'sdk/qos'] },
  // A simulated card and the sockets that it is served at.
  {
    area: 'sdk/serve',
    may: [...ground, 'sdk/folder', 'sdk/block', 'sdk/faults', 'sim', 'native'],
    node: ['path'],
  },
  { area: 'sdk/testing', may: sdkBelowCli, node: anyOfNode },
  // 'native' for what sets real hardware up; cards are opened through sdk/open.
  { area: 'sdk/cli', may: [...sdkBelowCli, 'sdk/testing', 'sdk/serve', 'native'], node: anyOfNode },
  { area: 'sdk/index', may: sdkBelowCli },
  // The card runs the same scheduler as the gate, and the same reservations as the target.
  {
    area: 'sim',
    may: [...ground, 'sdk/spec', 'sdk/device', 'sdk/faults', 'sdk/qos', 'sdk/reservations'],
  },
  // Between simulated nodes there are block devices.
  { area: 'sim/net', may: [...ground, 'sdk/device', 'sdk/block', 'sim'] },
  // A user's own profile is a file.
  { area: 'sim/profiles/profile-file', may: [...ground, 'sim'], node: ['fs'] },
  { area: 'sim/store', may: [...ground, 'sdk/spec', 'sdk/device', 'sim'], node: ['fs'] },
  { area: 'native', may: [...ground, 'sdk/device', 'sdk/spec'], node: anyOfNode },
  { area: 'bench', may: ['sdk', 'sim', 'native', 'test/support', 'test/guest'], node: anyOfNode },
  { area: 'test', may: ['sdk', 'sim', 'native', 'bench'], node: anyOfNode },
  {
    area: 'test/conformance',
    may: [...sdkBelowCli, 'sdk/testing', 'test/support'],
    node: anyOfNode,
  },
];

export function checkImports(sources: readonly Source[]): Violation[] {
  return [...sources.flatMap(checkLayers), ...findCycles(sources)];
}

function checkLayers(source: Source): Violation[] {
  const rule = ruleOf(source.path);
  if (rule === undefined) {
    return [{ path: source.path, line: 1, what: 'lies in a folder without an import rule' }];
  }
  const violations: Violation[] = [];
  for (const { specifier, line } of source.imports) {
    const what = faultOf(source.path, rule, specifier);
    if (what !== null) violations.push({ path: source.path, line, what });
  }
  return violations;
}

function faultOf(path: string, rule: Rule, specifier: string): string | null {
  if (specifier.startsWith('node:')) {
    const name = specifier.slice('node:'.length);
    const isAllowed = rule.node?.some((allowed) => allowed === '*' || allowed === name) === true;
    return isAllowed ? null : `${rule.area} may not import ${specifier}`;
  }
  if (!specifier.startsWith('.')) {
    if (rule.area.startsWith('test') || rule.area === 'bench') return null;
    return `${rule.area} may not import the package ${specifier}`;
  }
  if (!specifier.endsWith('.js')) return `import without the suffix .js: ${specifier}`;
  const target = targetOf(path, specifier);
  if (isWithin(target, rule.area)) return null;
  if (rule.may.some((area) => isWithin(target, area))) return null;
  return `${rule.area} may not import ${target}`;
}

/** The source file, without its extension, that a relative import means. */
function targetOf(path: string, specifier: string): string {
  return posix.join(posix.dirname(path), specifier).replace(/\.js$/, '');
}

function isWithin(target: string, area: string): boolean {
  return target === area || target.startsWith(`${area}/`);
}

function ruleOf(path: string): Rule | undefined {
  const module = path.replace(/\.ts$/, '');
  return importRules
    .filter((rule) => isWithin(module, rule.area))
    .sort((a, b) => b.area.length - a.area.length)[0];
}

/** Module path → modules it imports, types included or not. */
function graphOf(sources: readonly Source[], withTypes: boolean): Map<string, string[]> {
  return new Map(
    sources.map((source) => [
      source.path.replace(/\.ts$/, ''),
      source.imports
        .filter(
          ({ specifier, isTypeOnly }) => specifier.startsWith('.') && (withTypes || !isTypeOnly),
        )
        .map(({ specifier }) => targetOf(source.path, specifier)),
    ]),
  );
}

function findCycles(sources: readonly Source[]): Violation[] {
  const graph = graphOf(sources, false);
  const finished = new Set<string>();
  const violations: Violation[] = [];
  const walk = (module: string, trail: readonly string[]): void => {
    if (finished.has(module)) return;
    const start = trail.indexOf(module);
    if (start >= 0) {
      const what = `an import cycle: ${[...trail.slice(start), module].join(' → ')}`;
      violations.push({ path: `${module}.ts`, line: 1, what });
      return;
    }
    for (const target of graph.get(module) ?? []) walk(target, [...trail, module]);
    finished.add(module);
  };
  for (const module of graph.keys()) walk(module, []);
  return violations;
}

/** Files that nothing reaches from the entry points: nobody would notice if they were wrong. */
export function checkReached(sources: readonly Source[], entries: readonly string[]): Violation[] {
  const graph = graphOf(sources, true);
  const reached = new Set<string>();
  const waiting = entries.map((entry) => entry.replace(/\.ts$/, ''));
  for (let module = waiting.pop(); module !== undefined; module = waiting.pop()) {
    if (reached.has(module)) continue;
    reached.add(module);
    waiting.push(...(graph.get(module) ?? []));
  }
  return sources
    .filter((source) => !reached.has(source.path.replace(/\.ts$/, '')))
    .map(({ path }) => ({ path, line: 1, what: 'nothing imports this file' }));
}
