import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { type Channel, noReply } from './channel.js';

/**
 * What a command that did not succeed is thrown as.
 *
 * @param server.path  for the message
 * @param call         the command, as the protocol's text has it
 * @param errno        as `Channel.call` returned it
 * @returns            UltimaError DEVICE_MISBEHAVED, or DEVICE_REMOVED when no answer came
 */
export function callFailure(
  server: { readonly path: string; readonly channel: Channel },
  call: string,
  errno: number,
): UltimaError {
  const { path, channel } = server;
  if (errno !== noReply) {
    const message = `${path}: the server refuses ${call} with error ${errno}`;
    return new UltimaError(ErrorCode.deviceMisbehaved, message, { path, call, errno });
  }
  const { reason } = channel;
  const message = `${path}: the connection ended before the answer to ${call}: ${reason}`;
  return new UltimaError(ErrorCode.deviceRemoved, message, { path, call, reason });
}
