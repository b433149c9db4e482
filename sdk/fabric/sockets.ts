import { NativeSockets } from './native-sockets.js';
import { NodeSockets } from './node-sockets.js';
import type { FabricSockets } from './stream.js';

/**
 * Connections by the addon where there is one, and over node:net where there is none. For clear
 * text; TLS is node:tls everywhere. Close them when target or initiator are closed.
 */
export async function fabricSockets(): Promise<FabricSockets> {
  const { native, theKernel } = await import('../../native/index.js');
  return native.isAvailable ? new NativeSockets(theKernel()) : new NodeSockets();
}
