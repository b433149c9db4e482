/** Admin commands [NVMe-2.0 §5], [NVM-1.0 §4.1]. Bits 1:0 say which way data goes. */
export const AdminOpcode = {
  deleteSubmissionQueue: 0x00,
  createSubmissionQueue: 0x01,
  getLogPage: 0x02,
  deleteCompletionQueue: 0x04,
  createCompletionQueue: 0x05,
  identify: 0x06,
  abort: 0x08,
  setFeatures: 0x09,
  getFeatures: 0x0a,
  asynchronousEventRequest: 0x0c,
  namespaceManagement: 0x0d,
  firmwareCommit: 0x10,
  firmwareDownload: 0x11,
  deviceSelfTest: 0x14,
  namespaceAttachment: 0x15,
  keepAlive: 0x18,
  directiveSend: 0x19,
  directiveReceive: 0x1a,
  virtualizationManagement: 0x1c,
  managementSend: 0x1d,
  managementReceive: 0x1e,
  capacityManagement: 0x20,
  lockdown: 0x24,
  doorbellBufferConfig: 0x7c,
  formatNvm: 0x80,
  securitySend: 0x81,
  securityReceive: 0x82,
  sanitize: 0x84,
  getLbaStatus: 0x86,
} as const;

export type AdminOpcode = (typeof AdminOpcode)[keyof typeof AdminOpcode];

/** I/O commands of the NVM command set [NVM-1.0 §3]. */
export const NvmOpcode = {
  flush: 0x00,
  write: 0x01,
  read: 0x02,
  writeUncorrectable: 0x04,
  compare: 0x05,
  writeZeroes: 0x08,
  datasetManagement: 0x09,
  verify: 0x0c,
  reservationRegister: 0x0d,
  reservationReport: 0x0e,
  reservationAcquire: 0x11,
  reservationRelease: 0x15,
  copy: 0x19,
} as const;

export type NvmOpcode = (typeof NvmOpcode)[keyof typeof NvmOpcode];

export type QueueKind = 'admin' | 'nvm';

export type DataDirection = 'none' | 'to controller' | 'to host' | 'both';

const directions: readonly DataDirection[] = ['none', 'to controller', 'to host', 'both'];

/** Which way a command moves data: bits 1:0 of its opcode [NVMe-2.0 §3.3.3.1 OPC]. */
export function directionOf(opcode: number): DataDirection {
  return directions[opcode & 3]!;
}

const nameTables = { admin: namesOf(AdminOpcode), nvm: namesOf(NvmOpcode) } as const;

/** Words for an opcode: 'create submission queue', 'vendor 0xc0', 'unknown 0x3f'. */
export function opcodeText(opcode: number, kind: QueueKind): string {
  const known = nameTables[kind].get(opcode);
  if (known !== undefined) return known;
  const isVendor = opcode >= (kind === 'admin' ? 0xc0 : 0x80);
  return `${isVendor ? 'vendor' : 'unknown'} 0x${opcode.toString(16).padStart(2, '0')}`;
}

function namesOf(table: Readonly<Record<string, number>>): ReadonlyMap<number, string> {
  const spaced = (name: string) => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return new Map(Object.entries(table).map(([name, opcode]) => [opcode, spaced(name)]));
}
