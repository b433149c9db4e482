import type { Clock } from '../../sdk/device.js';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { Header } from '../../sdk/spec/pcie/header.js';
import { Region } from '../../sdk/spec/vfio-user/device.js';
import { DmaTransfer } from '../../sdk/spec/vfio-user/dma.js';
import type { UnixSocket } from '../socket.js';
import { type Agreement, agree, ourTransferBytes } from './agreement.js';
import { Channel } from './channel.js';
import { RemoteDevice } from './remote-device.js';
import type { ServerCommands } from './server-commands.js';

export interface LinkOptions {
  /** Connected; the link owns it. */
  readonly socket: UnixSocket;
  /** Where it leads, for messages. */
  readonly path: string;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly takesFds: boolean;
  readonly commands: ServerCommands;
  readonly onDeath: () => void;
}

/** One connection to a server, and the device at its other end. */
export class Link {
  readonly path: string;
  readonly channel: Channel;
  readonly agreement: Agreement;
  readonly device: RemoteDevice;
  /** Bytes of configuration space. */
  readonly configBytes: number;
  /** Vendor and device, to know it again. */
  readonly identity: number;

  /**
   * Agree on a version, ask what is there. Holds the thread, for `timeoutMs` at most per
   * answer.
   *
   * @throws UltimaError what `agree` and `RemoteDevice` throw
   */
  constructor(options: LinkOptions) {
    const { path } = options;
    this.path = path;
    this.channel = new Channel({
      ...options,
      payloadLimit: DmaTransfer.layout.bytes + ourTransferBytes,
    });
    try {
      this.agreement = agree(this.channel, path, options.takesFds);
      this.device = new RemoteDevice(this.channel, this.agreement, path);
      const config = this.device.region(Region.config);
      if (config.fd >= 0) this.channel.giveUp(config.fd);
      if (config.length < Header.layout.bytes) throw shortConfig(path, config.length);
      this.configBytes = config.length;
      this.identity = this.device.read(Region.config, Header.vendorId.dword * 4, 4);
    } catch (error) {
      this.channel.die('it was of no use');
      throw error;
    }
  }

  /** Data in one message that the server takes. */
  get transferBytes(): number {
    return this.agreement.transferBytes;
  }
}

function shortConfig(path: string, bytes: number): UltimaError {
  return new UltimaError(
    ErrorCode.deviceUnsupported,
    `${path}: the device has ${bytes} bytes of configuration space, a PCI function has at least ` +
      `${Header.layout.bytes}`,
    { path, bytes },
  );
}
