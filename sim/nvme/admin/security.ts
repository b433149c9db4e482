import { SecurityReceive, SecuritySend } from '../../../sdk/spec/nvme/admin-command.js';
import { SecurityInformation, SecuritySpecific } from '../../../sdk/spec/nvme/directives.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import type { Command } from '../command.js';
import type { AdminContext } from './context.js';

/** Protocol 00h tells what there is; this card has no other. */
const informationProtocol = 0x00;

/** [NVMe-2.0 §5.25 Security Receive] */
export function receiveSecurity(context: AdminContext, command: Command): number {
  const { words } = command;
  if (SecurityReceive.secp.get(words, 0) !== informationProtocol) {
    return context.refuse(Status.invalidField, SecurityReceive.secp);
  }
  const low = SecurityReceive.spsp0.get(words, 0);
  const specific = SecurityReceive.spsp1.get(words, 0) * 256 + low;
  if (specific > SecuritySpecific.certificate) {
    return context.refuse(Status.invalidField, SecurityReceive.spsp0);
  }
  const length = SecurityReceive.al.get(words, 0);
  if (length > context.profile.controller.maxTransferBytes) {
    return context.refuse(Status.invalidField, SecurityReceive.al);
  }
  if (length === 0) return 0;
  const data = new Uint8Array(length);
  // A certificate would follow its own length, which is 0: the page is empty.
  if (specific === SecuritySpecific.protocolList) data.set(protocolList().subarray(0, length));
  return context.sendBytes(command, data, 0, length);
}

/** One protocol: this one. */
function protocolList(): Uint8Array {
  const words = new Uint32Array(SecurityInformation.layout.bytes / 4);
  const list = Uint8Array.of(informationProtocol);
  const length = SecurityInformation.listLength.bytes(words, 0);
  length[length.length - 1] = list.length;
  SecurityInformation.protocols.bytes(words, 0).set(list);
  return new Uint8Array(words.buffer);
}

/** [NVMe-2.0 §5.26 Security Send]: nothing can be sent to protocol 00h. */
export function sendSecurity(context: AdminContext): number {
  return context.refuse(Status.invalidField, SecuritySend.secp);
}
