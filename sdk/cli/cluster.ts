import type { NodeView } from '../node/directory.js';
import type { VolumeRecord } from '../node/records.js';
import { parseInteger, parseSize, parseWords, usageError, wrongNames } from './arguments.js';
import { addMember, grow, membersUsage, removeMember, replaceNode } from './cluster-members.js';
import { storeOptions, storeUsage, withDirectory } from './cluster-store.js';
import { up, upUsage } from './cluster-up.js';
import { bytesText } from './pool-access.js';
import type { Terminal } from './terminal.js';
import { runVerb, table, type VerbResult } from './verb-result.js';

export const usage = `
ultima cluster VERB [NAME] [options]

Mirrored volumes over the nodes of a cluster (see ultima node, ultima attach).
${upUsage}
  nodes                who has joined, and who is there
  remove-node NAME     a node without members leaves for good
      --lost             it is not there and never comes back: nobody waits for it
  volumes              mirrored volumes and where their members are
  create NAME --bytes SIZE
      --mirrors N        members on as many nodes: 1 to 3; 3 when left out
      --block-bytes N    4096 (default) or 512
      --near NODE        the first member goes there
  delete NAME          its nodes take its members away${membersUsage}

  -o, --output-format WORD   normal, json
${storeUsage}
`;

const options = {
  ...storeOptions,
  'output-format': { type: 'string', short: 'o' },
  bytes: { type: 'string' },
  mirrors: { type: 'string', default: '3' },
  'block-bytes': { type: 'string', default: '4096' },
  near: { type: 'string' },
  lost: { type: 'boolean', default: false },
} as const;

export function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const [verb, ...rest] = words;
  if (verb === 'up') return up(rest, terminal);
  const members = {
    grow: (more: readonly string[]) => grow(more, terminal),
    'add-member': (more: readonly string[]) => addMember(more, terminal),
    'remove-member': (more: readonly string[]) => removeMember(more, terminal),
    'replace-node': (more: readonly string[]) => replaceNode(more, terminal),
  };
  const verbs = { nodes, 'remove-node': removeNode, volumes, create, delete: destroy, ...members };
  return runVerb('cluster', { ...verbs, up: neverHere }, words, terminal);
}

async function neverHere(): Promise<VerbResult> {
  throw usageError('ultima cluster up');
}

function parse(words: readonly string[], hasName: boolean) {
  const { values, positionals } = parseWords(words, options);
  if (positionals.length !== Number(hasName)) {
    const wanted = hasName ? 'one name' : 'no name';
    throw wrongNames(wanted, positionals);
  }
  return { values, name: positionals[0] ?? '' };
}

async function nodes(words: readonly string[]): Promise<VerbResult> {
  const { values } = parse(words, false);
  return withDirectory(values, async (directory) => {
    const found = await directory.nodes();
    const all = await directory.volumes();
    const rows = found.map((node) => nodeRow(node, all));
    const head = ['NAME', 'ZONE', 'STATE', 'ADDRESS', 'FREE', 'MEMBERS'];
    return { json: found, lines: table(head, rows) };
  });
}

function nodeRow({ name, zone, alive }: NodeView, volumes: readonly VolumeRecord[]): string[] {
  const members = volumes.flatMap((volume) => volume.members).filter(({ node }) => node === name);
  if (alive === null) return [name, zone, 'Down', '-', '-', String(members.length)];
  const state = alive.trouble === '' ? 'Up' : `Up, ${alive.trouble}`;
  const free = `${bytesText(alive.freeBytes)} of ${bytesText(alive.poolBytes)}`;
  return [name, zone, state, alive.address, free, String(members.length)];
}

async function removeNode(words: readonly string[]): Promise<VerbResult> {
  const { values, name } = parse(words, true);
  return withDirectory(values, async (directory) => {
    await directory.removeNode(name, { isLost: values.lost });
    return { json: { removed: name }, lines: [`node ${name} has left the cluster`] };
  });
}

async function volumes(words: readonly string[]): Promise<VerbResult> {
  const { values } = parse(words, false);
  return withDirectory(values, async (directory) => {
    const found = await directory.volumes();
    const rows = found.map(({ name, bytes, state, members, leaving }) => {
      const places = members.map(({ id, node }) => {
        return `${node}:${id.slice(0, 8)}${leaving.includes(id) ? ' (leaves)' : ''}`;
      });
      return [name, bytesText(bytes), state, places.join(' ')];
    });
    return { json: found, lines: table(['NAME', 'SIZE', 'STATE', 'MEMBERS'], rows) };
  });
}

async function create(words: readonly string[]): Promise<VerbResult> {
  const { values, name } = parse(words, true);
  if (values.bytes === undefined) throw usageError('how large? --bytes SIZE');
  const bytes = parseSize('bytes', values.bytes);
  const mirrors = parseInteger('mirrors', values.mirrors, { low: 1, high: 3 });
  const blockBytes = parseInteger('block-bytes', values['block-bytes'], { low: 512, high: 4096 });
  if (blockBytes !== 512 && blockBytes !== 4096) {
    throw usageError(`--block-bytes is ${blockBytes}; it must be 512 or 4096`);
  }
  const { near: preferred } = values;
  const wanted = { name, bytes, mirrors, blockBytes, ...(preferred && { preferred }) } as const;
  return withDirectory(values, async (directory) => {
    const made = await directory.createVolume(wanted);
    const where = made.members.map(({ node }) => node).join(', ');
    const lines = [`volume ${name}: ${bytesText(bytes)} on ${where}`];
    return { json: made, lines };
  });
}

async function destroy(words: readonly string[]): Promise<VerbResult> {
  const { values, name } = parse(words, true);
  return withDirectory(values, async (directory) => {
    await directory.deleteVolume(name);
    return { json: { deleted: name }, lines: [`volume ${name} goes`] };
  });
}
