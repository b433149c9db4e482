import { MonotonicClock } from '../../native/vfio/clock.js';
import { NvmeTcp } from '../fabric/initiator.js';
import { openSockets } from '../sockets/open.js';
import { parseInteger, usageError } from './arguments.js';
import type { OpenedDevice } from './block-device.js';

export const remotePrefix = 'nvme-tcp:';
const form = "'nvme-tcp:HOST:PORT/NQN' or 'nvme-tcp:HOST:PORT/NQN/NSID'";

/** 'nvme-tcp:HOST:PORT/NQN/NSID'; namespace 1 is meant without one. */
export async function openRemote(address: string): Promise<OpenedDevice> {
  const match = /^([^/]+)\/(nqn\.[^/]+)(?:\/([^/]*))?$/.exec(address.slice(remotePrefix.length));
  if (match === null) throw usageError(`${address}: the form is ${form}`);
  const [, place = '', nqn = '', word = '1'] = match;
  const nsid = parseInteger('namespace', word, { low: 1, high: 0xffff_fffe });
  const sockets = await openSockets();
  const clock = new MonotonicClock();
  try {
    const host = await NvmeTcp.connect({ address: place, nqn, clock, sockets });
    const close = async (): Promise<void> => {
      await host.close();
      sockets.close();
    };
    try {
      return { device: host.namespace(nsid), close };
    } catch (error) {
      await host.close();
      throw error;
    }
  } catch (error) {
    sockets.close();
    throw error;
  }
}
