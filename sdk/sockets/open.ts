import { NativeSockets } from './native-sockets.js';
import { NodeSockets } from './node-sockets.js';
import type { LocalSockets } from './stream.js';

/**
 * Connections by the addon where there is one, and over node:net where there is none. For clear
 * text; TLS is node:tls everywhere. Close them when whoever uses them is closed.
 */
export async function openSockets(): Promise<LocalSockets> {
  const { native, theKernel } = await import('../../native/index.js');
  return native.isAvailable ? new NativeSockets(theKernel()) : new NodeSockets();
}
