import { randomFillSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { EtcdStore } from '../cluster/etcd-store.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { ClusterDirectory } from '../node/directory.js';

/** Where etcd listens, and the store of `ultima cluster up`. */
export const defaultStore = 'http://127.0.0.1:2379';

export const storeOptions = {
  store: { type: 'string', multiple: true },
  'store-tls': { type: 'string' },
  'store-user': { type: 'string' },
} as const;

/** Lines for the usage of every command that reaches the cluster store. */
export const storeUsage = `
  --store URL[,URL]    the cluster store: etcd's client ports, or that of ultima cluster up;
                       ${defaultStore} when left out
  --store-tls DIR      certificates for https: DIR/ca-cert.pem, and ours in DIR/client-cert.pem and
                       DIR/client-key.pem where the store wants to know us
  --store-user NAME    a user of etcd; the password comes from ULTIMA_STORE_PASSWORD`;

export interface StoreWords {
  readonly store?: string[];
  readonly 'store-tls'?: string;
  readonly 'store-user'?: string;
}

/** @throws UltimaError ADDRESS_INVALID, FILE_INVALID */
export function openStore(words: StoreWords): EtcdStore {
  const endpoints = (words.store ?? [defaultStore]).flatMap((one) => one.split(','));
  const folder = words['store-tls'];
  const user = words['store-user'];
  const password = process.env.ULTIMA_STORE_PASSWORD;
  return new EtcdStore({
    endpoints,
    ...(folder === undefined ? {} : { tls: tlsOf(folder) }),
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
  });
}

/** Open the store, use the cluster's list, let go of it. */
export async function withDirectory<T>(
  words: StoreWords,
  use: (directory: ClusterDirectory, store: EtcdStore) => Promise<T>,
): Promise<T> {
  const store = openStore(words);
  try {
    return await use(new ClusterDirectory(store, (bytes) => void randomFillSync(bytes)), store);
  } finally {
    await store.close();
  }
}

function tlsOf(folder: string): { ca: string; cert?: string; key?: string } {
  const ca = readPem(folder, 'ca-cert.pem');
  try {
    const cert = readFileSync(join(folder, 'client-cert.pem'), 'utf8');
    return { ca, cert, key: readPem(folder, 'client-key.pem') };
  } catch (error) {
    if (error instanceof UltimaError) throw error;
    // Without one of ours the store must let everybody in.
    return { ca };
  }
}

/** @throws UltimaError FILE_INVALID */
export function readPem(folder: string, name: string): string {
  const path = join(folder, name);
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `${path} cannot be read: ${reason}`;
    throw new UltimaError(ErrorCode.fileInvalid, message, { path }, error);
  }
}
