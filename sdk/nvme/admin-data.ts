import { DirectiveReceive, SecuritySend } from '../spec/nvme/admin-command.js';
import { identifyBytes } from '../spec/nvme/identify.js';
import { IdentifyNamespace } from '../spec/nvme/identify-namespace.js';

export interface SecurityOptions {
  readonly protocol: number;
  readonly protocolSpecific?: number;
  readonly nssf?: number;
}

export interface DirectiveOptions {
  readonly nsid: number;
  readonly type: number;
  readonly operation: number;
  readonly specific?: number;
  readonly cdw12?: number;
}

export interface NewNamespace {
  readonly blockCount: number;
  readonly capacityBlocks?: number;
  readonly formatIndex?: number;
  readonly isShared?: boolean;
  readonly protectionType?: number;
}

/** Security Send and Receive share their first dwords. */
export function putSecurity(words: Uint32Array, options: SecurityOptions): void {
  const specific = options.protocolSpecific ?? 0;
  SecuritySend.secp.set(words, 0, options.protocol);
  SecuritySend.spsp0.set(words, 0, specific % 256);
  SecuritySend.spsp1.set(words, 0, Math.floor(specific / 256));
  SecuritySend.nssf.set(words, 0, options.nssf ?? 0);
}

/** Directive Send and Receive share their dwords. */
export function putDirective(words: Uint32Array, options: DirectiveOptions, bytes: number): void {
  DirectiveReceive.numd.set(words, 0, bytes / 4);
  DirectiveReceive.doper.set(words, 0, options.operation);
  DirectiveReceive.dtype.set(words, 0, options.type);
  DirectiveReceive.dspec.set(words, 0, options.specific ?? 0);
  words[DirectiveReceive.nsr.dword] = options.cdw12 ?? 0;
}

/** The page that Namespace Management (create) sends [NVMe-2.0 §5.23 Namespace Management]. */
export function newNamespacePage(wanted: NewNamespace): Uint8Array {
  const page = new Uint32Array(identifyBytes / 4);
  IdentifyNamespace.nsze.set(page, 0, wanted.blockCount);
  IdentifyNamespace.ncap.set(page, 0, wanted.capacityBlocks ?? wanted.blockCount);
  const index = wanted.formatIndex ?? 0;
  IdentifyNamespace.flbasIndex.set(page, 0, index % 16);
  IdentifyNamespace.flbasIndexHigh.set(page, 0, Math.floor(index / 16));
  IdentifyNamespace.dpsType.set(page, 0, wanted.protectionType ?? 0);
  IdentifyNamespace.nmicShared.set(page, 0, wanted.isShared === true ? 1 : 0);
  return new Uint8Array(page.buffer);
}
