import { ErrorCode, UltimaError } from '../errors.js';
import { IdentifyNamespace, ProtectionType } from '../spec/nvme/identify-namespace.js';

const page = IdentifyNamespace;

/** What a namespace is, read from Identify and checked. */
export interface NamespaceFormat {
  readonly nsid: number;
  readonly blockCount: number;
  /** Data bytes of a block, a power of two from 512. */
  readonly dataBytes: number;
  readonly metadataBytes: number;
  /** Metadata follows the data of each block in the same buffer. */
  readonly isExtended: boolean;
  /** 0 none, 1..3 [NVM-1.0 §5.2 protection information]. */
  readonly protectionType: number;
  readonly isProtectionFirst: boolean;
  readonly formatIndex: number;
  /** Requests that cross a multiple of this many blocks are slower; 0 when it does not matter. */
  readonly boundaryBlocks: number;
  readonly atomicWriteBlocks: number;
  readonly canDeallocate: boolean;
  readonly isWriteProtected: boolean;
  readonly isShared: boolean;
  readonly maxCopyBlocks: number;
  readonly maxCopyRangeBlocks: number;
  readonly maxCopyRanges: number;
  /** The page as the controller gave it, for the tables of `spec`. */
  readonly words: Uint32Array;
}

const smallestBlockExponent = 9;
const largestBlockExponent = 20;

/**
 * @param controllerAtomicBlocks  AWUPF, used when the namespace gives no value of its own
 * @throws UltimaError NAMESPACE_INVALID, DEVICE_MISBEHAVED
 */
export function formatOf(
  nsid: number,
  words: Uint32Array,
  controllerAtomicBlocks: number,
): NamespaceFormat {
  const blockCount = page.nsze.get(words, 0);
  if (blockCount === 0) {
    throw new UltimaError(
      ErrorCode.namespaceInvalid,
      `namespace ${nsid} is not active; see namespaces() for those that are`,
      { nsid },
    );
  }
  if (!page.nsze.isExact(words, 0)) throw misbehaved(nsid, 'NSZE', blockCount);
  const formatIndex = page.flbasIndex.get(words, 0) + page.flbasIndexHigh.get(words, 0) * 16;
  const index = page.nlbaf.get(words, 0) > 16 ? formatIndex : page.flbasIndex.get(words, 0);
  const formats = page.lbaf;
  const at = formats.at(0, index);
  const exponent = formats.item.lbads.get(words, at);
  if (exponent < smallestBlockExponent || exponent > largestBlockExponent) {
    throw misbehaved(nsid, 'LBADS', exponent);
  }
  const protectionType = page.dpsType.get(words, 0);
  if (protectionType > ProtectionType.type3) throw misbehaved(nsid, 'DPS', protectionType);
  const metadataBytes = formats.item.ms.get(words, at);
  const hasOwnAtomic = page.nsfeatAtomic.get(words, 0) === 1;
  const ownAtomic = hasOwnAtomic ? page.nawupf.get(words, 0) : 1;
  return {
    nsid,
    blockCount,
    dataBytes: 2 ** exponent,
    metadataBytes,
    isExtended: metadataBytes > 0 && page.flbasExtended.get(words, 0) === 1,
    protectionType: metadataBytes >= 8 ? protectionType : 0,
    isProtectionFirst: page.dpsFirst.get(words, 0) === 1,
    formatIndex: index,
    boundaryBlocks: page.noiob.get(words, 0),
    atomicWriteBlocks: Math.max(ownAtomic, controllerAtomicBlocks),
    canDeallocate: true,
    isWriteProtected: page.nsattrWriteProtected.get(words, 0) === 1,
    isShared: page.nmicShared.get(words, 0) === 1,
    maxCopyBlocks: page.mcl.get(words, 0),
    maxCopyRangeBlocks: page.mssrl.get(words, 0),
    maxCopyRanges: page.msrc.get(words, 0),
    words,
  };
}

function misbehaved(nsid: number, field: string, value: number): UltimaError {
  return new UltimaError(
    ErrorCode.deviceMisbehaved,
    `namespace ${nsid}: Identify gives ${field} = ${value}, which cannot be`,
    { nsid, field, value },
  );
}
