import type { Bits } from '../../sdk/spec/layout.js';
import * as admin from '../../sdk/spec/nvme/admin-command.js';
import { broadcastNsid, Sqe } from '../../sdk/spec/nvme/command.js';
import { Feature } from '../../sdk/spec/nvme/features.js';
import { Cns } from '../../sdk/spec/nvme/identify.js';
import { AdminOpcode, NvmOpcode } from '../../sdk/spec/nvme/opcodes.js';
import { Cc } from '../../sdk/spec/nvme/registers.js';
import { Status, StatusFlag } from '../../sdk/spec/nvme/status.js';
import type { Aspect, Difference } from '../cross/compare.js';

/** A class of differences between QEMU 7.2's controller and the simulated one. */
export interface KnownDifference {
  readonly what: string;
  readonly simulator: string;
  readonly qemu: string;
  /** The clause that decides. */
  readonly clause: string;
  readonly right: 'simulator' | 'both';
  readonly is: (difference: Difference) => boolean;
}

const S = Status;

/** The first that fits a difference is its class. QEMU is on the left. */
export const knownDifferences: readonly KnownDifference[] = [
  {
    what: 'More',
    simulator: 'sets More, and the error log has an entry about the command',
    qemu: 'keeps no error log and never sets More',
    clause: '[NVMe-2.0 §3.3.3.2.1 More]',
    right: 'both',
    is: ({ aspect, left, right }) =>
      aspect === 'flags' && left === (right & ~StatusFlag.more) && left !== right,
  },
  {
    what: 'Do Not Retry',
    simulator: 'sets it on every status that the same command will meet again',
    qemu: 'leaves it out on Compare Failure, with FUSE and where an opcode is checked',
    clause: '[NVMe-2.0 §3.3.3.2.1 DNR]',
    right: 'both',
    is: ({ aspect, left, right }) =>
      aspect === 'flags' && (left & StatusFlag.doNotRetry) === 0 && right > left,
  },
  {
    what: 'FUSE of an I/O command',
    simulator: 'refuses the reserved value 11b',
    qemu: 'looks at FUSE in Flush and some other commands not at all',
    clause: '[NVMe-2.0 §3.3.3.1 FUSE]',
    right: 'simulator',
    is: (d) => ends(d, 0, S.invalidField) && of(d, 1) && field(d, Sqe.fuse) === 3,
  },
  {
    what: 'log pages that do not exist',
    simulator: 'Invalid Log Page',
    qemu: 'Invalid Field in Command',
    clause: '[NVMe-2.0 §5.16 Get Log Page: Invalid Log Page]',
    right: 'simulator',
    is: (d) => ends(d, S.invalidField, S.invalidLogPage) && isAdmin(d, AdminOpcode.getLogPage),
  },
  {
    what: 'more dwords than a log page has',
    simulator: 'returns zeroes beyond the end',
    qemu: 'leaves the memory beyond the end as it is',
    clause: '[NVMe-2.0 §5.16 Get Log Page: undefined beyond the end]',
    right: 'both',
    is: (d) => seen(d, 'extent') && isAdmin(d, AdminOpcode.getLogPage) && d.left < d.right,
  },
  {
    what: 'an offset that is the length of the log page',
    simulator: 'returns zeroes: only a larger offset is refused',
    qemu: 'Invalid Field in Command',
    clause: '[NVMe-2.0 §5.16 LPOL]',
    right: 'simulator',
    is: (d) =>
      ends(d, S.invalidField, 0) &&
      isAdmin(d, AdminOpcode.getLogPage) &&
      admin.GetLogPage.lpo.get(wordsOf(d), 0) >= 64,
  },
  {
    what: 'the health log with namespace identifier 0',
    simulator: 'means the controller, as FFFFFFFFh',
    qemu: 'Invalid Namespace or Format',
    clause: '[NVMe-2.0 §5.16.1.3 SMART / Health Information]',
    right: 'simulator',
    is: (d) =>
      ends(d, S.invalidNamespaceOrFormat, 0) &&
      isAdmin(d, AdminOpcode.getLogPage) &&
      field(d, Sqe.nsid) === 0,
  },
  {
    what: 'default, saved and saveable values of features',
    simulator: 'features are saveable; vector 0 coalesces until it is configured',
    qemu: 'no feature is saveable; other defaults',
    clause: '[NVMe-2.0 §5.15 Get Features SEL: the values are the implementation’s]',
    right: 'both',
    is: (d) => seen(d, 'dw0') && isAdmin(d, AdminOpcode.getFeatures) && isOfChoice(d),
  },
  {
    what: 'data of default and saved values',
    simulator: 'returns the data structure for every Select but capabilities',
    qemu: 'returns it for the current value alone',
    clause: '[NVMe-2.0 §5.15 Get Features]',
    right: 'simulator',
    is: (d) =>
      seen(d, 'extent') &&
      isAdmin(d, AdminOpcode.getFeatures) &&
      d.left === 0 &&
      field(d, admin.GetFeatures.sel) !== admin.FeatureSelect.current,
  },
  {
    what: 'reserved values of Select',
    simulator: 'Invalid Field in Command',
    qemu: 'takes them',
    clause: '[NVMe-2.0 §5.15 Get Features SEL]',
    right: 'simulator',
    is: (d) =>
      seen(d, 'status') &&
      d.right === S.invalidField &&
      isAdmin(d, AdminOpcode.getFeatures) &&
      field(d, admin.GetFeatures.sel) > admin.FeatureSelect.capabilities,
  },
  {
    what: 'capabilities of a feature of namespaces, without a namespace',
    simulator: 'the capabilities are those of the feature',
    qemu: 'Invalid Namespace or Format',
    clause: '[NVMe-2.0 §5.15 Get Features: not stated]',
    right: 'both',
    is: (d) =>
      isAdmin(d, AdminOpcode.getFeatures) &&
      d.right === 0 &&
      seen(d, 'status') &&
      field(d, Sqe.nsid) !== 1 &&
      field(d, admin.GetFeatures.sel) === admin.FeatureSelect.capabilities,
  },
  {
    what: 'features that QEMU does not let be set',
    simulator: 'sets them, or refuses a value that is reserved',
    qemu: 'Feature Not Changeable for Arbitration, Power Management and others',
    clause: '[NVMe-2.0 §5.15 Get Features: its capabilities say so]',
    right: 'both',
    is: (d) =>
      seen(d, 'status') && isAdmin(d, AdminOpcode.setFeatures) && d.left === S.featureNotChangeable,
  },
  {
    what: 'reserved temperature sensors and threshold types',
    simulator: 'Invalid Field in Command',
    qemu: 'takes them',
    clause: '[NVMe-2.0 §5.27.1.4 Temperature Threshold]',
    right: 'simulator',
    is: (d) =>
      ends(d, 0, S.invalidField) &&
      isAdmin(d, AdminOpcode.setFeatures) &&
      field(d, admin.SetFeatures.fid) === Feature.temperatureThreshold,
  },
  {
    what: 'the deletion of a completion queue that does not exist',
    simulator: 'Invalid Queue Identifier',
    qemu: 'Completion Queue Invalid',
    clause: '[NVMe-2.0 §5.6 Delete I/O Completion Queue]',
    right: 'simulator',
    is: (d) =>
      ends(d, S.completionQueueInvalid, S.invalidQueueIdentifier) &&
      isAdmin(d, AdminOpcode.deleteCompletionQueue),
  },
  {
    what: 'a submission queue on completion queue 0 or on one beyond the last',
    simulator: 'Invalid Queue Identifier',
    qemu: 'Completion Queue Invalid',
    clause: '[NVMe-2.0 §5.5 CQID]',
    right: 'simulator',
    is: (d) =>
      ends(d, S.completionQueueInvalid, S.invalidQueueIdentifier) &&
      isAdmin(d, AdminOpcode.createSubmissionQueue),
  },
  {
    what: 'a queue that exists already, created with another mistake',
    simulator: 'names the other mistake',
    qemu: 'Invalid Queue Identifier',
    clause: '[NVMe-2.0 §5.4, §5.5: the order of checks is not stated]',
    right: 'both',
    is: (d) =>
      seen(d, 'status') &&
      d.left === S.invalidQueueIdentifier &&
      d.right !== 0 &&
      (isAdmin(d, AdminOpcode.createCompletionQueue) ||
        isAdmin(d, AdminOpcode.createSubmissionQueue)),
  },
  {
    what: 'an Abort for a submission queue that does not exist',
    simulator: 'succeeds, and DW0 says that nothing was aborted',
    qemu: 'Invalid Field in Command',
    clause: '[NVMe-2.0 §5.1 Abort: not stated]',
    right: 'both',
    is: (d) => ends(d, S.invalidField, 0) && isAdmin(d, AdminOpcode.abort),
  },
  {
    what: 'reserved protection types in Format NVM',
    simulator: 'Invalid Field in Command, as for every reserved value',
    qemu: 'Invalid Format',
    clause: '[NVMe-2.0 §5.14 Format NVM PI]',
    right: 'both',
    is: (d) => ends(d, S.invalidFormat, S.invalidField) && isAdmin(d, AdminOpcode.formatNvm),
  },
  {
    what: 'command sets that do not exist in Identify',
    simulator: 'Invalid I/O Command Set',
    qemu: 'Invalid Field in Command',
    clause: '[NVMe-2.0 §5.17 Identify: Invalid I/O Command Set]',
    right: 'simulator',
    is: (d) => ends(d, S.invalidField, S.invalidCommandSet) && isAdmin(d, AdminOpcode.identify),
  },
  {
    what: 'the command sets of a controller that does not exist',
    simulator: 'Invalid Field in Command',
    qemu: 'does not look at the controller identifier',
    clause: '[NVMe-2.0 §5.17.2.21 I/O Command Set data structure CNTID]',
    right: 'simulator',
    is: (d) =>
      ends(d, 0, S.invalidField) &&
      isAdmin(d, AdminOpcode.identify) &&
      field(d, admin.Identify.cns) === Cns.commandSets,
  },
  {
    what: 'the controllers of a namespace that does not exist',
    simulator: 'an empty list',
    qemu: 'Invalid Field in Command',
    clause: '[NVMe-2.0 §5.17.2.10 Namespace Attached Controller list: not stated]',
    right: 'both',
    is: (d) =>
      ends(d, S.invalidField, 0) &&
      isAdmin(d, AdminOpcode.identify) &&
      field(d, admin.Identify.cns) === Cns.controllersOfNamespace,
  },
  {
    what: 'the controllers of a namespace identifier that is invalid',
    simulator: 'Invalid Namespace or Format',
    qemu: 'Invalid Field in Command',
    clause: '[NVMe-2.0 §3.2.1.2 Invalid NSID]',
    right: 'simulator',
    is: (d) =>
      ends(d, S.invalidField, S.invalidNamespaceOrFormat) && isAdmin(d, AdminOpcode.identify),
  },
  {
    what: 'Identify Namespace with the broadcast identifier',
    simulator: 'returns what all namespaces have in common',
    qemu: 'Invalid Namespace or Format, although OACS announces namespace management',
    clause: '[NVMe-2.0 §5.17.2.1 OACS], [NVM-1.0 §4.1.5.1 Identify Namespace]',
    right: 'simulator',
    is: (d) =>
      ends(d, S.invalidNamespaceOrFormat, 0) &&
      isAdmin(d, AdminOpcode.identify) &&
      field(d, Sqe.nsid) === broadcastNsid,
  },
  {
    what: 'PRP entries off a dword, PRP lists off a qword',
    simulator: 'PRP Offset Invalid',
    qemu: 'carries the command out',
    clause: '[NVMe-2.0 §4.1.1 PRP: the controller is not required to check]',
    right: 'both',
    is: (d) =>
      seen(d, 'status') &&
      d.right === S.prpOffsetInvalid &&
      (d.left === 0 || d.left === S.compareFailure),
  },
  {
    what: 'unknown SGL descriptor types',
    simulator: 'SGL Descriptor Type Invalid',
    qemu: 'Invalid SGL Segment Descriptor',
    clause: '[NVMe-2.0 §3.3.3.2.1 SGL Descriptor Type Invalid]',
    right: 'simulator',
    is: (d) => ends(d, S.invalidSglSegmentDescriptor, S.sglDescriptorTypeInvalid),
  },
  {
    what: 'reserved SGL descriptor subtypes',
    simulator: 'SGL Descriptor Type Invalid',
    qemu: 'does not look at the subtype',
    clause: '[NVMe-2.0 §4.1.2 SGL Descriptor Sub Type]',
    right: 'simulator',
    is: (d) =>
      seen(d, 'status') &&
      d.right === S.sglDescriptorTypeInvalid &&
      (d.left === 0 || d.left === S.compareFailure),
  },
  {
    what: 'an SGL segment that is not the last and has no other after it',
    simulator: 'Invalid SGL Segment Descriptor',
    qemu: 'takes the end of the segment for the end of the list',
    clause: '[NVMe-2.0 §4.1.2 SGL Segment]',
    right: 'simulator',
    is: (d) =>
      seen(d, 'status') &&
      d.right === S.invalidSglSegmentDescriptor &&
      (d.left === 0 || d.left === S.compareFailure),
  },
  {
    what: 'directive types that are not enabled',
    simulator: 'Invalid Field in Command',
    qemu: 'does not look at the directive type of a write',
    clause: '[NVMe-2.0 §8.7 Directives]',
    right: 'simulator',
    is: (d) => ends(d, 0, S.invalidField) && isIo(d, NvmOpcode.write),
  },
  {
    what: 'ranges of Dataset Management beyond the end',
    simulator: 'LBA Out of Range',
    qemu: 'leaves the range out and succeeds',
    clause: '[NVM-1.0 §3.2.3 Dataset Management: the ranges are advice]',
    right: 'both',
    is: (d) => ends(d, 0, S.lbaOutOfRange) && isIo(d, NvmOpcode.datasetManagement),
  },
  {
    what: 'a copy from or to beyond the end',
    simulator: 'LBA Out of Range',
    qemu: 'Internal Error',
    clause: '[NVMe-2.0 §3.3.3.2.1 LBA Out of Range]',
    right: 'simulator',
    is: (d) => ends(d, S.internalError, S.lbaOutOfRange) && isIo(d, NvmOpcode.copy),
  },
  {
    what: 'entry sizes of I/O queues when the controller is enabled',
    simulator: 'becomes ready: they matter when an I/O queue is created',
    qemu: 'ends in Controller Fatal Status',
    clause: '[NVMe-2.0 §3.1.3.5 CC.IOSQES, CC.IOCQES]',
    right: 'simulator',
    is: ({ aspect, step, left, right }) =>
      aspect === 'register' &&
      step?.kind === 'start' &&
      (Cc.iosqes.of(step.cc) === 0 || Cc.iocqes.of(step.cc) === 0) &&
      left === 2 &&
      right === 1,
  },
  {
    what: 'arbitration mechanisms that CAP does not announce',
    simulator: 'ends in Controller Fatal Status',
    qemu: 'becomes ready',
    clause: '[NVMe-2.0 §3.1.3.5 CC.AMS: undefined]',
    right: 'both',
    is: ({ aspect, step, left, right }) =>
      aspect === 'register' &&
      step?.kind === 'start' &&
      Cc.ams.of(step.cc) > 0 &&
      left === 1 &&
      right === 2,
  },
];

/** The class of a difference; undefined when it is not listed. */
export function classOf(difference: Difference): string | undefined {
  return knownDifferences.find((known) => known.is(difference))?.what;
}

function seen(difference: Difference, aspect: Aspect): boolean {
  return difference.aspect === aspect;
}

/** Whether the two ended in these statuses: QEMU's, the simulator's. */
function ends({ aspect, left, right }: Difference, qemu: number, simulator: number): boolean {
  return aspect === 'status' && left === qemu && right === simulator;
}

function wordsOf({ step }: Difference): Uint32Array {
  return step?.kind === 'command' ? Uint32Array.from(step.words) : new Uint32Array(16);
}

function field(difference: Difference, bits: Bits): number {
  return bits.get(wordsOf(difference), 0);
}

function of({ step }: Difference, queue: 0 | 1): boolean {
  return step?.kind === 'command' && step.queue === queue;
}

function isAdmin(difference: Difference, opcode: number): boolean {
  return of(difference, 0) && field(difference, Sqe.opc) === opcode;
}

function isIo(difference: Difference, opcode: number): boolean {
  return of(difference, 1) && field(difference, Sqe.opc) === opcode;
}

/** Default, saved and capabilities; and the current value of what has another default. */
function isOfChoice(difference: Difference): boolean {
  const sel = field(difference, admin.GetFeatures.sel);
  const fid = field(difference, admin.GetFeatures.fid);
  return sel !== admin.FeatureSelect.current || fid === Feature.interruptVector;
}
