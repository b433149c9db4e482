import { bits, count0, struct, u32, u64 } from '../layout.js';
import { commandLayout } from './command.js';

export const QueuePriority = { urgent: 0, high: 1, medium: 2, low: 3 } as const;

export const CreateSubmissionQueue = struct(
  commandLayout('Create I/O Submission Queue', '[NVMe-2.0 §5.5 Create I/O Submission Queue]'),
  {
    qid: bits(0x28, 15, 0, 'Queue Identifier (QID)'),
    qsize: count0(0x28, 31, 16, 'Queue Size (QSIZE)'),
    pc: bits(0x2c, 0, 0, 'Physically Contiguous (PC)'),
    qprio: bits(0x2c, 2, 1, 'Queue Priority (QPRIO)', QueuePriority),
    cqid: bits(0x2c, 31, 16, 'Completion Queue Identifier (CQID)'),
    nvmsetid: bits(0x30, 15, 0, 'NVM Set Identifier (NVMSETID)'),
  },
);

export const CreateCompletionQueue = struct(
  commandLayout('Create I/O Completion Queue', '[NVMe-2.0 §5.4 Create I/O Completion Queue]'),
  {
    qid: bits(0x28, 15, 0, 'Queue Identifier (QID)'),
    qsize: count0(0x28, 31, 16, 'Queue Size (QSIZE)'),
    pc: bits(0x2c, 0, 0, 'Physically Contiguous (PC)'),
    ien: bits(0x2c, 1, 1, 'Interrupts Enabled (IEN)'),
    iv: bits(0x2c, 31, 16, 'Interrupt Vector (IV)'),
  },
);

export const DeleteSubmissionQueue = struct(
  commandLayout('Delete I/O Submission Queue', '[NVMe-2.0 §5.7 Delete I/O Submission Queue]'),
  { qid: bits(0x28, 15, 0, 'Queue Identifier (QID)') },
);

export const DeleteCompletionQueue = struct(
  commandLayout('Delete I/O Completion Queue', '[NVMe-2.0 §5.6 Delete I/O Completion Queue]'),
  { qid: bits(0x28, 15, 0, 'Queue Identifier (QID)') },
);

export const Identify = struct(commandLayout('Identify', '[NVMe-2.0 §5.17 Identify]'), {
  cns: bits(0x28, 7, 0, 'Controller or Namespace Structure (CNS)'),
  cntid: bits(0x28, 31, 16, 'Controller Identifier (CNTID)'),
  cnssid: bits(0x2c, 15, 0, 'CNS Specific Identifier (CNSSID)'),
  csi: bits(0x2c, 31, 24, 'Command Set Identifier (CSI)'),
  uuidx: bits(0x38, 6, 0, 'UUID Index (UIDX)'),
});

export const GetLogPage = struct(commandLayout('Get Log Page', '[NVMe-2.0 §5.16 Get Log Page]'), {
  lid: bits(0x28, 7, 0, 'Log Page Identifier (LID)'),
  lsp: bits(0x28, 14, 8, 'Log Specific Parameter (LSP)'),
  rae: bits(0x28, 15, 15, 'Retain Asynchronous Event (RAE)'),
  numdl: bits(0x28, 31, 16, 'Number of Dwords Lower (NUMDL), 0’s based with NUMDU'),
  numdu: bits(0x2c, 15, 0, 'Number of Dwords Upper (NUMDU)'),
  lsi: bits(0x2c, 31, 16, 'Log Specific Identifier (LSI)'),
  lpo: u64(0x30, 'Log Page Offset (LPOL, LPOU)'),
  uuidx: bits(0x38, 6, 0, 'UUID Index (UIDX)'),
  ot: bits(0x38, 23, 23, 'Offset Type: 1 is an index (OT)'),
  csi: bits(0x38, 31, 24, 'Command Set Identifier (CSI)'),
});

/** Dwords that a Get Log Page asks for: NUMDU and NUMDL together, as a count. */
export function logDwords(words: Uint32Array, at: number): number {
  return GetLogPage.numdu.get(words, at) * 0x1_0000 + GetLogPage.numdl.get(words, at) + 1;
}

export function setLogDwords(words: Uint32Array, at: number, count: number): void {
  GetLogPage.numdl.set(words, at, (count - 1) % 0x1_0000);
  GetLogPage.numdu.set(words, at, Math.floor((count - 1) / 0x1_0000));
}

export const FeatureSelect = { current: 0, default: 1, saved: 2, capabilities: 3 } as const;

export const SetFeatures = struct(commandLayout('Set Features', '[NVMe-2.0 §5.27 Set Features]'), {
  fid: bits(0x28, 7, 0, 'Feature Identifier (FID)'),
  sv: bits(0x28, 31, 31, 'Save (SV)'),
  value: u32(0x2c, 'Feature value, command dword 11'),
  cdw12: u32(0x30, 'Feature specific, command dword 12'),
  cdw13: u32(0x34, 'Feature specific, command dword 13'),
  uuidx: bits(0x38, 6, 0, 'UUID Index (UIDX)'),
  cdw15: u32(0x3c, 'Feature specific, command dword 15'),
});

export const GetFeatures = struct(commandLayout('Get Features', '[NVMe-2.0 §5.15 Get Features]'), {
  fid: bits(0x28, 7, 0, 'Feature Identifier (FID)'),
  sel: bits(0x28, 10, 8, 'Select (SEL)', FeatureSelect),
  cdw11: u32(0x2c, 'Feature specific, command dword 11'),
  uuidx: bits(0x38, 6, 0, 'UUID Index (UIDX)'),
});

/** DW0 of a Get Features with SEL = capabilities. */
export const FeatureCapabilities = struct(
  { title: 'Feature Capabilities', cite: '[NVMe-2.0 §5.15 Get Features]', bytes: 4 },
  {
    saveable: bits(0x00, 0, 0, 'Saveable'),
    perNamespace: bits(0x00, 1, 1, 'Namespace specific'),
    changeable: bits(0x00, 2, 2, 'Changeable'),
  },
);

export const Abort = struct(commandLayout('Abort', '[NVMe-2.0 §5.1 Abort]'), {
  sqid: bits(0x28, 15, 0, 'Submission Queue Identifier (SQID)'),
  cid: bits(0x28, 31, 16, 'Command Identifier (CID)'),
});

export const AsynchronousEventRequest = struct(
  commandLayout('Asynchronous Event Request', '[NVMe-2.0 §5.2 AER]'),
  {},
);

export const KeepAlive = struct(commandLayout('Keep Alive', '[NVMe-2.0 §5.18 Keep Alive]'), {});

export const NamespaceManagementSelect = { create: 0, delete: 1 } as const;

export const NamespaceManagement = struct(
  commandLayout('Namespace Management', '[NVMe-2.0 §5.23 Namespace Management]'),
  {
    sel: bits(0x28, 3, 0, 'Select (SEL)', NamespaceManagementSelect),
    csi: bits(0x2c, 31, 24, 'Command Set Identifier (CSI)'),
  },
);

export const NamespaceAttachmentSelect = { attach: 0, detach: 1 } as const;

export const NamespaceAttachment = struct(
  commandLayout('Namespace Attachment', '[NVMe-2.0 §5.22 Namespace Attachment]'),
  { sel: bits(0x28, 3, 0, 'Select (SEL)', NamespaceAttachmentSelect) },
);

export const SecureErase = { none: 0, 'user data': 1, cryptographic: 2 } as const;

export const FormatNvm = struct(commandLayout('Format NVM', '[NVMe-2.0 §5.14 Format NVM]'), {
  lbafl: bits(0x28, 3, 0, 'LBA Format Lower (LBAFL)'),
  mset: bits(0x28, 4, 4, 'Metadata Settings: 1 extends the block (MSET)'),
  pi: bits(0x28, 7, 5, 'Protection Information (PI)'),
  pil: bits(0x28, 8, 8, 'Protection Information Location: 1 is first (PIL)'),
  ses: bits(0x28, 11, 9, 'Secure Erase Settings (SES)', SecureErase),
  lbafu: bits(0x28, 13, 12, 'LBA Format Upper (LBAFU)'),
});

export const CommitAction = {
  replace: 0,
  'replace and activate at reset': 1,
  'activate at reset': 2,
  'activate now': 3,
  'replace boot partition': 6,
  'activate boot partition': 7,
} as const;

export const FirmwareCommit = struct(
  commandLayout('Firmware Commit', '[NVMe-2.0 §5.12 Firmware Commit]'),
  {
    fs: bits(0x28, 2, 0, 'Firmware Slot (FS)'),
    ca: bits(0x28, 5, 3, 'Commit Action (CA)', CommitAction),
    bpid: bits(0x28, 31, 31, 'Boot Partition ID (BPID)'),
  },
);

export const FirmwareDownload = struct(
  commandLayout('Firmware Image Download', '[NVMe-2.0 §5.13 Firmware Image Download]'),
  {
    numd: count0(0x28, 31, 0, 'Number of Dwords (NUMD)'),
    ofst: u32(0x2c, 'Offset in dwords (OFST)'),
  },
);

export const SelfTestCode = { short: 1, extended: 2, vendor: 14, abort: 15 } as const;

export const DeviceSelfTest = struct(
  commandLayout('Device Self-test', '[NVMe-2.0 §5.9 Device Self-test]'),
  { stc: bits(0x28, 3, 0, 'Self-test Code (STC)', SelfTestCode) },
);

export const SanitizeAction = {
  'exit failure mode': 1,
  'block erase': 2,
  overwrite: 3,
  'crypto erase': 4,
} as const;

export const Sanitize = struct(commandLayout('Sanitize', '[NVMe-2.0 §5.24 Sanitize]'), {
  sanact: bits(0x28, 2, 0, 'Sanitize Action (SANACT)', SanitizeAction),
  ause: bits(0x28, 3, 3, 'Allow Unrestricted Sanitize Exit (AUSE)'),
  owpass: bits(0x28, 7, 4, 'Overwrite Pass Count, 0 means 16 (OWPASS)'),
  oipbp: bits(0x28, 8, 8, 'Overwrite Invert Pattern Between Passes (OIPBP)'),
  ndas: bits(0x28, 9, 9, 'No-Deallocate After Sanitize (NDAS)'),
  ovrpat: u32(0x2c, 'Overwrite Pattern (OVRPAT)'),
});

export const DirectiveType = { identify: 0, streams: 1 } as const;

/** Operations by directive type and direction [NVMe-2.0 §8.7]. */
export const DirectiveOperation = {
  identifyReturnParameters: 1,
  identifyEnable: 1,
  streamsReturnParameters: 1,
  streamsGetStatus: 2,
  streamsAllocateResources: 3,
  streamsReleaseIdentifier: 1,
  streamsReleaseResources: 2,
} as const;

export const DirectiveSend = struct(
  commandLayout('Directive Send', '[NVMe-2.0 §5.11 Directive Send]'),
  {
    numd: count0(0x28, 31, 0, 'Number of Dwords (NUMD)'),
    doper: bits(0x2c, 7, 0, 'Directive Operation (DOPER)'),
    dtype: bits(0x2c, 15, 8, 'Directive Type (DTYPE)', DirectiveType),
    dspec: bits(0x2c, 31, 16, 'Directive Specific (DSPEC)'),
    endir: bits(0x30, 0, 0, 'Identify directive: Enable Directive (ENDIR)'),
    tdtype: bits(0x30, 15, 8, 'Identify directive: Target Directive Type (TDTYPE)'),
  },
);

export const DirectiveReceive = struct(
  commandLayout('Directive Receive', '[NVMe-2.0 §5.10 Directive Receive]'),
  {
    numd: count0(0x28, 31, 0, 'Number of Dwords (NUMD)'),
    doper: bits(0x2c, 7, 0, 'Directive Operation (DOPER)'),
    dtype: bits(0x2c, 15, 8, 'Directive Type (DTYPE)', DirectiveType),
    dspec: bits(0x2c, 31, 16, 'Directive Specific (DSPEC)'),
    nsr: bits(0x30, 15, 0, 'Streams: Namespace Streams Requested (NSR)'),
  },
);

export const SecuritySend = struct(
  commandLayout('Security Send', '[NVMe-2.0 §5.26 Security Send]'),
  {
    nssf: bits(0x28, 7, 0, 'NVMe Security Specific Field (NSSF)'),
    spsp0: bits(0x28, 15, 8, 'SP Specific, low byte (SPSP0)'),
    spsp1: bits(0x28, 23, 16, 'SP Specific, high byte (SPSP1)'),
    secp: bits(0x28, 31, 24, 'Security Protocol (SECP)'),
    tl: u32(0x2c, 'Transfer Length in bytes (TL)'),
  },
);

export const SecurityReceive = struct(
  commandLayout('Security Receive', '[NVMe-2.0 §5.25 Security Receive]'),
  {
    nssf: bits(0x28, 7, 0, 'NVMe Security Specific Field (NSSF)'),
    spsp0: bits(0x28, 15, 8, 'SP Specific, low byte (SPSP0)'),
    spsp1: bits(0x28, 23, 16, 'SP Specific, high byte (SPSP1)'),
    secp: bits(0x28, 31, 24, 'Security Protocol (SECP)'),
    al: u32(0x2c, 'Allocation Length in bytes (AL)'),
  },
);

export const VirtualizationAction = {
  'primary flexible allocation': 1,
  'secondary offline': 7,
  'secondary assign': 8,
  'secondary online': 9,
} as const;

export const VirtualizationManagement = struct(
  commandLayout('Virtualization Management', '[NVMe-2.0 §5.28 Virtualization Management]'),
  {
    act: bits(0x28, 3, 0, 'Action (ACT)', VirtualizationAction),
    rt: bits(0x28, 10, 8, 'Resource Type (RT)', { queue: 0, interrupt: 1 }),
    cntlid: bits(0x28, 31, 16, 'Controller Identifier (CNTLID)'),
    nr: bits(0x2c, 15, 0, 'Number of Controller Resources (NR)'),
  },
);

export const DoorbellBufferConfig = struct(
  commandLayout('Doorbell Buffer Config', '[NVMe-2.0 §5.8 Doorbell Buffer Config]'),
  {
    shadow: u64(0x18, 'Shadow doorbell buffer, page aligned (PRP1)'),
    eventIndex: u64(0x20, 'EventIdx buffer, page aligned (PRP2)'),
  },
);

export const CapacityManagement = struct(
  commandLayout('Capacity Management', '[NVMe-2.0 §5.3 Capacity Management]'),
  {
    oper: bits(0x28, 3, 0, 'Operation (OPER)'),
    elid: bits(0x28, 31, 16, 'Element Identifier (ELID)'),
    cap: u64(0x2c, 'Capacity in bytes (CAPL, CAPU)'),
  },
);

export const Lockdown = struct(commandLayout('Lockdown', '[NVMe-2.0 §5.19 Lockdown]'), {
  scp: bits(0x28, 3, 0, 'Scope (SCP)'),
  prhbt: bits(0x28, 4, 4, 'Prohibit (PRHBT)'),
  ifc: bits(0x28, 6, 5, 'Interface (IFC)'),
  ofi: bits(0x28, 15, 8, 'Opcode or Feature Identifier (OFI)'),
  uuidx: bits(0x38, 6, 0, 'UUID Index (UIDX)'),
});

export const ManagementSend = struct(
  commandLayout('NVMe-MI Send', '[NVMe-2.0 §5.21 NVMe-MI Send]'),
  {},
);

export const ManagementReceive = struct(
  commandLayout('NVMe-MI Receive', '[NVMe-2.0 §5.20 NVMe-MI Receive]'),
  {},
);

export const LbaStatusAction = { 'untracked and tracked': 0x10, tracked: 0x11 } as const;

export const GetLbaStatus = struct(
  commandLayout('Get LBA Status', '[NVM-1.0 §4.2 Get LBA Status]'),
  {
    slba: u64(0x28, 'Starting LBA (SLBA)'),
    mndw: count0(0x30, 31, 0, 'Maximum Number of Dwords (MNDW)'),
    rl: bits(0x34, 15, 0, 'Range Length (RL)'),
    atype: bits(0x34, 31, 24, 'Action Type (ATYPE)', LbaStatusAction),
  },
);
