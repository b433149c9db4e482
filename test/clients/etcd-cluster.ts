import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EtcdOptions } from '../../sdk/cluster/etcd-client.js';
import { EtcdStore } from '../../sdk/cluster/etcd-store.js';
import * as certificates from '../support/test-certificates.js';

interface Member {
  readonly name: string;
  readonly folder: string;
  readonly clientPort: number;
  readonly peerPort: number;
  child: ChildProcess | null;
}

/** Debian's etcd, one or three members on this machine, in folders that go with it. */
export class EtcdCluster {
  private readonly folder = mkdtempSync(join(tmpdir(), 'ultima-etcd-'));
  private readonly isSecure: boolean;
  private members: Member[] = [];

  /** @param isSecure  TLS, and clients must show a certificate */
  constructor(isSecure = false) {
    this.isSecure = isSecure;
  }

  async start(count: number): Promise<void> {
    const ports = await freePorts(2 * count);
    this.members = Array.from({ length: count }, (_, i) => ({
      name: `m${i}`,
      folder: join(this.folder, `m${i}`),
      clientPort: ports[2 * i]!,
      peerPort: ports[2 * i + 1]!,
      child: null,
    }));
    const files = { ca: certificates.authority, cert: certificates.serverCertificate };
    for (const [name, pem] of Object.entries({ ...files, key: certificates.serverKey })) {
      writeFileSync(join(this.folder, `${name}.pem`), pem);
    }
    for (let i = 0; i < count; i++) this.startMember(i);
    await this.ready();
  }

  get endpoints(): string[] {
    return this.members.map((member) => this.url(member.clientPort));
  }

  private url(port: number): string {
    return `${this.isSecure ? 'https' : 'http'}://127.0.0.1:${port}`;
  }

  store(options: Partial<EtcdOptions> = {}): EtcdStore {
    const tls = {
      ca: certificates.authority,
      cert: certificates.clientCertificate,
      key: certificates.clientKey,
    };
    return new EtcdStore({
      endpoints: this.endpoints,
      ...(this.isSecure ? { tls } : {}),
      ...options,
    });
  }

  startMember(index: number): void {
    const member = this.members[index]!;
    const peers = this.members.map(({ name, peerPort }) => `${name}=http://127.0.0.1:${peerPort}`);
    const words = [
      ['--name', member.name, '--data-dir', member.folder, '--log-level', 'error'],
      ['--listen-client-urls', this.url(member.clientPort)],
      ['--advertise-client-urls', this.url(member.clientPort)],
      ['--listen-peer-urls', `http://127.0.0.1:${member.peerPort}`],
      ['--initial-advertise-peer-urls', `http://127.0.0.1:${member.peerPort}`],
      ['--initial-cluster', peers.join(',')],
      ['--heartbeat-interval', '50', '--election-timeout', '500'],
    ];
    const file = (name: string) => join(this.folder, `${name}.pem`);
    const secure = ['--cert-file', file('cert'), '--key-file', file('key')];
    const clients = ['--client-cert-auth', '--trusted-ca-file', file('ca')];
    const all = [...words.flat(), ...(this.isSecure ? [...secure, ...clients] : [])];
    member.child = spawn('etcd', all, { stdio: 'ignore' });
  }

  /** With -9, as a machine that loses its power; its disk stays. */
  async kill(index: number): Promise<void> {
    const { child } = this.members[index]!;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  /** SIGSTOP and SIGCONT: a member that sleeps, and wakes up. */
  signal(index: number, signal: NodeJS.Signals): void {
    this.members[index]!.child?.kill(signal);
  }

  /** The disk of a member as new. */
  wipe(index: number): void {
    rmSync(this.members[index]!.folder, { recursive: true, force: true });
  }

  /** Resolves when a quorum answers; the time limit of the test bounds it. */
  async ready(): Promise<void> {
    const store = this.store({ timeoutMs: 500 });
    for (;;) {
      try {
        await store.read('ready');
        break;
      } catch {
        // Not yet: a cluster takes about a second to elect its leader.
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    await store.close();
  }

  async end(): Promise<void> {
    await Promise.all(this.members.map((_, i) => this.kill(i)));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Ports that nobody listened at a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  const ports: number[] = [];
  for (const server of servers) {
    if (!server.listening) await once(server, 'listening');
    const address = server.address();
    if (typeof address === 'object' && address !== null) ports.push(address.port);
  }
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
