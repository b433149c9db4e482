import type { TestBuffer } from '../../sdk/testing/buffer.js';
import type { NamespaceFixture } from '../../sdk/testing/namespace.js';
import type { QueueFixture } from '../../sdk/testing/queue.js';
import type { Rig } from '../../sdk/testing/rig.js';

/** A namespace and a queue pair to reach it. */
export interface Bench {
  readonly rig: Rig;
  readonly ns: NamespaceFixture;
  readonly pair: QueueFixture;
}

/** The first namespace, if its blocks are plain data. */
export async function bench(rig: Rig): Promise<Bench> {
  const ns = await rig.namespace();
  rig.needs(ns.metadataBytes === 0, 'a namespace without metadata');
  return { rig, ns, pair: await rig.queuePair({ entries: 64 }) };
}

/** Write random blocks. @returns what was written */
export async function write(
  { ns, pair }: Bench,
  lba: number,
  content: { readonly count: number; readonly seed: number },
): Promise<TestBuffer> {
  const data = ns.buffer(content.count).fill({ kind: 'random', seed: content.seed });
  await pair.runOk(ns.write({ lba, count: content.count }, data));
  return data;
}

/** Read blocks; the read must succeed. */
export async function blocksOf(
  { ns, pair }: Bench,
  lba: number,
  count: number,
): Promise<TestBuffer> {
  const data = ns.buffer(count);
  await pair.runOk(ns.read({ lba, count }, data));
  return data;
}
