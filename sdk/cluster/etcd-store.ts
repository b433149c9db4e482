import { EtcdClient, type EtcdOptions } from './etcd-client.js';
import {
  base64Of,
  entryIn,
  headerIn,
  idIn,
  listIn,
  numberIn,
  rangeOfPrefix,
  txnOf,
} from './etcd-json.js';
import { EtcdWatch } from './etcd-watch.js';
import { leaseEnded } from './key-table.js';
import {
  type ClusterStore,
  type CommitResult,
  checkCommit,
  checkKey,
  checkLeaseTime,
  checkRevision,
  type Lease,
  type StoreChange,
  type StoreCondition,
  type StoreEntry,
  type StoreList,
  type StoreWatch,
  type StoreWatcher,
} from './store.js';

/**
 * A cluster store on etcd 3.4 or newer, through the JSON gateway at its client port
 * [ETCD-3.4 §gRPC gateway]. Reads are linearizable, commits are transactions on mod_revision; both
 * are decided by etcd's quorum. Also reaches `StoreServer`, which speaks the same.
 */
export class EtcdStore implements ClusterStore {
  private readonly client: EtcdClient;
  private readonly watches = new Set<StoreWatch>();

  /** @throws RangeError, UltimaError ADDRESS_INVALID; nothing is sent yet */
  constructor(options: EtcdOptions) {
    this.client = new EtcdClient(options);
  }

  async read(key: string): Promise<StoreEntry | null> {
    checkKey(key);
    const answer = await this.client.call('/v3/kv/range', { key: base64Of(key) }, 'query');
    const [entry] = listIn(answer, 'kvs');
    return entry === undefined ? null : entryIn(entry);
  }

  async list(prefix: string): Promise<StoreList> {
    checkKey(prefix);
    const range = { ...rangeOfPrefix(prefix), sort_target: 'KEY', sort_order: 'ASCEND' };
    const answer = await this.client.call('/v3/kv/range', range, 'query');
    const entries = listIn(answer, 'kvs').map(entryIn);
    return { entries, revision: headerIn(answer).revision };
  }

  async commit(
    conditions: readonly StoreCondition[],
    changes: readonly StoreChange[],
  ): Promise<CommitResult> {
    checkCommit(conditions, changes);
    const answer = await this.client.call('/v3/kv/txn', txnOf(conditions, changes), 'commit');
    const outcome = answer.succeeded === true ? 'applied' : 'refused';
    return { outcome, revision: headerIn(answer).revision };
  }

  watch(prefix: string, afterRevision: number, watcher: StoreWatcher): StoreWatch {
    checkKey(prefix);
    checkRevision(afterRevision);
    const watch = new EtcdWatch(this.client, prefix, afterRevision, watcher);
    this.watches.add(watch);
    return {
      close: () => {
        this.watches.delete(watch);
        watch.close();
      },
    };
  }

  async grantLease(ttlMs: number): Promise<Lease> {
    checkLeaseTime(ttlMs);
    const asked = { TTL: String(Math.ceil(ttlMs / 1000)) };
    const answer = await this.client.call('/v3/lease/grant', asked, 'query');
    const id = idIn(answer, 'ID');
    return {
      id,
      ttlMs: numberIn(answer, 'TTL') * 1000,
      keepAlive: async () => {
        const kept = await this.client.call('/v3/lease/keepalive', { ID: id }, 'query');
        if (numberIn(kept, 'TTL') === 0) throw leaseEnded(id);
      },
      revoke: async () => {
        await this.client.call('/v3/lease/revoke', { ID: id }, 'query');
      },
    };
  }

  async close(): Promise<void> {
    for (const watch of this.watches) watch.close();
    this.watches.clear();
    this.client.close();
  }
}
