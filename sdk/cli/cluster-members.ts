import { randomFillSync } from 'node:crypto';
import { MonotonicClock } from '../../native/vfio/clock.js';
import { MemorySpace } from '../block/memory.js';
import type { ClusterStore } from '../cluster/store.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { decodeRecord, recordKey } from '../mirror/record.js';
import type { MemberStatus } from '../mirror/rows.js';
import { Attachment } from '../node/attachment.js';
import type { ClusterDirectory } from '../node/directory.js';
import { type PlacedMember, stayingOf, type VolumeRecord } from '../node/records.js';
import { parseSize, parseWords, usageError } from './arguments.js';
import { drawName } from './attach.js';
import { storeOptions, withDirectory } from './cluster-store.js';
import { tlsOf } from './node.js';
import { bytesText } from './pool-access.js';
import { counted } from './replay-text.js';
import type { Terminal } from './terminal.js';
import type { VerbResult } from './verb-result.js';

export const membersUsage = `
  grow VOLUME --bytes SIZE
                       make it larger, while it is used; what is new reads as zeroes
  add-member VOLUME [--node NODE]
                       one more copy, on that node or on the best one
  remove-member VOLUME --node NODE
                       the copy on that node goes, once the others have everything
  replace-node OLD NEW
                       what OLD has of any volume goes to NEW, whether OLD is there or not. Where a
                       volume has three copies, the one on OLD goes first: two are left meanwhile
      --no-wait          do not wait until it is so: whoever has the volume attached makes it so
      --tls DIR          for nodes that want it, where nobody has the volume attached`;

const options = {
  ...storeOptions,
  'output-format': { type: 'string', short: 'o' },
  node: { type: 'string' },
  bytes: { type: 'string' },
  'no-wait': { type: 'boolean', default: false },
  tls: { type: 'string' },
} as const;

/** @param own  the one that this verb has of the options that not all have */
function parse(words: readonly string[], form: string, own: 'node' | 'bytes' | null) {
  const { values, positionals } = parseWords(words, options);
  for (const name of ['node', 'bytes'] as const) {
    if (name === own || values[name] === undefined) continue;
    throw usageError(`--${name} does not go with 'ultima cluster ${form}'`);
  }
  const wanted = form.split(' ').length - 1;
  if (positionals.length !== wanted) throw usageError(`ultima cluster ${form}`);
  return { values, names: positionals };
}

type Values = ReturnType<typeof parse>['values'];

export async function addMember(words: readonly string[], terminal: Terminal): Promise<VerbResult> {
  const { values, names } = parse(words, 'add-member VOLUME', 'node');
  const [volume = ''] = names;
  const { node } = values;
  return withDirectory(values, async (directory, store) => {
    const added = await directory.addMember(volume, node === undefined ? {} : { node });
    terminal.say(`ultima: volume ${volume}: one more member, on ${added.node}`);
    await settle({ directory, store, values, terminal }, [volume]);
    return listing(directory, [volume]);
  });
}

export async function grow(words: readonly string[], terminal: Terminal): Promise<VerbResult> {
  const { values, names } = parse(words, 'grow VOLUME', 'bytes');
  const [volume = ''] = names;
  if (values.bytes === undefined) throw usageError('how large? --bytes SIZE');
  const bytes = parseSize('bytes', values.bytes);
  return withDirectory(values, async (directory, store) => {
    await directory.growVolume(volume, bytes);
    await settle({ directory, store, values, terminal }, [volume]);
    const { record } = await directory.volume(volume);
    return { json: [record], lines: [`volume ${volume} has ${bytesText(record.bytes)}`] };
  });
}

export async function removeMember(
  words: readonly string[],
  terminal: Terminal,
): Promise<VerbResult> {
  const { values, names } = parse(words, 'remove-member VOLUME', 'node');
  const [volume = ''] = names;
  const { node } = values;
  if (node === undefined) throw usageError('which one? --node NODE');
  return withDirectory(values, async (directory, store) => {
    const { record } = await directory.volume(volume);
    const member = memberOn(record, node);
    if (member === undefined) {
      const text = `volume ${volume} has no member on ${node}; it has some on ${nodesOf(record)}`;
      throw new UltimaError(ErrorCode.notFound, text, { volume, node });
    }
    await directory.leave(volume, member.id);
    await settle({ directory, store, values, terminal }, [volume]);
    return listing(directory, [volume]);
  });
}

export async function replaceNode(
  words: readonly string[],
  terminal: Terminal,
): Promise<VerbResult> {
  const { values, names } = parse(words, 'replace-node OLD NEW', null);
  const [old = '', node = ''] = names;
  return withDirectory(values, async (directory, store) => {
    const moving: string[] = [];
    for (const record of await directory.volumes()) {
      const member = memberOn(record, old);
      if (record.state === 'deleting' || member === undefined) continue;
      await directory.addMember(record.name, { node, instead: member.id });
      moving.push(record.name);
      terminal.say(`ultima: volume ${record.name}: from ${old} to ${node}`);
    }
    await settle({ directory, store, values, terminal }, moving);
    const { json, lines } = await listing(directory, moving);
    const none = [`no volume has a member on ${old}`];
    return { json, lines: moving.length === 0 ? none : lines };
  });
}

/** One that is to stay. */
function memberOn(record: VolumeRecord, node: string): PlacedMember | undefined {
  return stayingOf(record).find((member) => member.node === node);
}

function nodesOf(record: VolumeRecord): string {
  return stayingOf(record)
    .map(({ node }) => node)
    .join(', ');
}

async function listing(
  directory: ClusterDirectory,
  volumes: readonly string[],
): Promise<VerbResult> {
  const records = await Promise.all(volumes.map((volume) => directory.volume(volume)));
  const json = records.map(({ record }) => record);
  const lines = json.map((record) => `volume ${record.name} is on ${nodesOf(record)}`);
  return { json, lines };
}

interface Surroundings {
  readonly directory: ClusterDirectory;
  readonly store: ClusterStore;
  readonly values: Values;
  readonly terminal: Terminal;
}

const lookMs = 500;
/** As for `ultima attach`. */
const reachMs = 30_000;

/** Until members and size are as listed, and all have everything. */
async function settle(around: Surroundings, volumes: readonly string[]): Promise<void> {
  if (around.values['no-wait']) return;
  for (const volume of volumes) {
    const { record } = await around.directory.volume(volume);
    // Whoever attaches it first makes it as it is listed then.
    if (record.state === 'creating') continue;
    if (!(await settleHere(around, volume))) await settleElsewhere(around, record);
  }
}

/** We attach it, for as long as it takes. @returns false where somebody has it attached */
async function settleHere(around: Surroundings, volume: string): Promise<boolean> {
  const { store, terminal, values } = around;
  let attachment: Attachment;
  try {
    attachment = await Attachment.open({
      ...{ store, volume, writer: drawName('members') },
      ...{ clock: new MonotonicClock(), memory: new MemorySpace(), reachMs },
      random: (bytes) => void randomFillSync(bytes),
      ...(values.tls === undefined ? {} : { tls: tlsOf(values.tls) }),
    });
  } catch (error) {
    if (error instanceof UltimaError && error.code === ErrorCode.mirrorBusy) return false;
    throw error;
  }
  const show = (): void => {
    const behind = attachment.mirror.status.members.filter((each) => each.condition !== 'InUse');
    const told = behind.map(behindText);
    if (attachment.trouble !== '') told.push(attachment.trouble);
    terminal.progress(attachment.inWords(`volume ${volume}: ${told.join(', ')}`));
  };
  const timer = setInterval(show, lookMs);
  try {
    await attachment.settled();
  } finally {
    clearInterval(timer);
    await attachment.detach();
  }
  return true;
}

/** Whoever has it attached sees to it. */
async function settleElsewhere(around: Surroundings, first: VolumeRecord): Promise<void> {
  const { directory, store, terminal } = around;
  const { name, volumeId } = first;
  let said = '';
  for (;;) {
    const { record } = await directory.volume(name);
    const entry = await store.read(recordKey(volumeId));
    if (entry === null) return;
    const mirror = decodeRecord(entry.value, volumeId);
    const behind = stayingOf(record).filter(({ id }) => {
      return !mirror.members.some((member) => member.id === id && member.isInSync);
    });
    const isSmall = mirror.blockCount * mirror.blockBytes < record.bytes;
    if (behind.length === 0 && record.leaving.length === 0 && !isSmall) return;
    const nodes = behind.map(({ node }) => node).join(', ');
    const who = mirror.writer ?? 'nobody: attach it, or detach it in order';
    const rest = isSmall ? 'it grows' : 'members leave';
    const what = nodes === '' ? rest : `${nodes} gets everything`;
    const line = `volume ${name}: ${what}; attached by ${who}`;
    if (line !== said && !terminal.isInteractive) terminal.say(`ultima: ${line}`);
    terminal.progress(line);
    said = line;
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
}

/** A member that has not everything, in words. */
export function behindText({ id, condition, missingRegions, why }: MemberStatus): string {
  if (condition !== 'Resync') return `${id} ${why}`;
  return `${id} lacks ${counted(missingRegions, 'region')}${why === '' ? '' : ` (${why})`}`;
}
