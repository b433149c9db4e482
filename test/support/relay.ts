import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** A wire between whoever connects here and one port of this machine, with somebody at it. */
export class Relay {
  private readonly target: number;
  private readonly server: Server;
  private readonly pairs = new Set<readonly [Socket, Socket]>();
  private isHeld = false;

  private constructor(target: number) {
    this.target = target;
    this.server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
      this.join(socket);
    });
  }

  static async to(target: number): Promise<Relay> {
    const relay = new Relay(target);
    await once(relay.server.listen(0, '127.0.0.1'), 'listening');
    return relay;
  }

  get address(): string {
    const address = this.server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    return `127.0.0.1:${port}`;
  }

  /** Every connection is lost, as when somebody pulls the plug: what was under way with it. */
  cut(): void {
    for (const pair of this.pairs) for (const socket of pair) socket.resetAndDestroy();
  }

  /** Nothing goes on in either direction, and nobody is told. */
  hold(): void {
    this.isHeld = true;
    for (const pair of this.pairs) for (const socket of pair) socket.pause();
  }

  /** What was held goes on, late as it is. */
  release(): void {
    this.isHeld = false;
    for (const pair of this.pairs) for (const socket of pair) socket.resume();
  }

  async end(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.cut();
    await closed;
  }

  private join(socket: Socket): void {
    const other = connect({ port: this.target, host: '127.0.0.1', allowHalfOpen: true });
    other.setNoDelay(true);
    const pair = [socket, other] as const;
    this.pairs.add(pair);
    this.pass(socket, other);
    this.pass(other, socket);
    for (const each of pair) each.once('close', () => this.pairs.delete(pair));
    if (this.isHeld) for (const each of pair) each.pause();
  }

  private pass(from: Socket, to: Socket): void {
    from.on('data', (bytes) => {
      if (!to.write(bytes)) from.pause();
    });
    to.on('drain', () => {
      if (!this.isHeld) from.resume();
    });
    from.on('end', () => to.end());
    from.on('error', () => to.resetAndDestroy());
    from.on('close', () => to.destroySoon());
  }
}
