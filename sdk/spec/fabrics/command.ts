import { bits, count0, struct, u32, u64, wide } from '../layout.js';
import { commandLayout } from '../nvme/command.js';

/** OPC of every Fabrics command; FCTYPE says which [NVMe-2.0 §6.1 Fabrics Command]. */
export const fabricsOpcode = 0x7f;

export const FabricsType = {
  propertySet: 0x00,
  connect: 0x01,
  propertyGet: 0x04,
  authenticationSend: 0x05,
  authenticationReceive: 0x06,
  disconnect: 0x08,
} as const;

export type FabricsType = (typeof FabricsType)[keyof typeof FabricsType];

/** Status of Fabrics commands, beside `Status` [NVMe-2.0 §6 Fabrics]. */
export const FabricsStatus = {
  incompatibleFormat: 0x180,
  controllerBusy: 0x181,
  invalidParameters: 0x182,
  restartDiscovery: 0x183,
  invalidHost: 0x184,
  invalidQueueType: 0x185,
  discoverRestart: 0x190,
  authenticationRequired: 0x191,
} as const;

export const FabricsCommand = struct(commandLayout('Fabrics command', '[NVMe-2.0 §6.1]'), {
  fctype: bits(0x04, 7, 0, 'Fabrics Command Type (FCTYPE)', FabricsType),
});

export const Connect = struct(commandLayout('Connect', '[NVMe-2.0 §6.3 Connect]'), {
  fctype: bits(0x04, 7, 0, 'Fabrics Command Type (FCTYPE)', FabricsType),
  recfmt: bits(0x28, 15, 0, 'Record Format (RECFMT)'),
  qid: bits(0x28, 31, 16, 'Queue ID (QID)'),
  sqsize: count0(0x2c, 15, 0, 'Submission Queue Size (SQSIZE)'),
  priority: bits(0x2c, 17, 16, 'Priority Class (CATTR)'),
  noFlowControl: bits(0x2c, 18, 18, 'Disable SQ Flow Control (CATTR)'),
  kato: u32(0x30, 'Keep Alive Timeout in milliseconds (KATO)'),
});

/** CNTLID of a Connect that leaves the choice to the subsystem, and the largest choice. */
export const dynamicController = 0xffff;
export const lastControllerId = 0xffef;

export const ConnectData = struct(
  { title: 'Connect Data', cite: '[NVMe-2.0 §6.3 Connect]', bytes: 1024 },
  {
    hostid: wide(0, 16, 'id', 'Host Identifier (HOSTID)'),
    cntlid: bits(16, 15, 0, 'Controller ID (CNTLID)'),
    subnqn: wide(256, 256, 'text', 'NVM Subsystem NVMe Qualified Name (SUBNQN)'),
    hostnqn: wide(512, 256, 'text', 'Host NVMe Qualified Name (HOSTNQN)'),
  },
);

/** DW0 of a Connect that succeeded. */
export const ConnectResult = struct(
  { title: 'Connect Response', cite: '[NVMe-2.0 §6.3 Connect]', bytes: 4 },
  {
    cntlid: bits(0, 15, 0, 'Controller ID (CNTLID)'),
    mustAuthenticate: bits(0, 17, 17, 'Authentication transaction required (AUTHREQ.ATR)'),
    mustAuthenticateSecure: bits(0, 18, 18, 'Secure channel concatenation required (AUTHREQ.ASCR)'),
  },
);

/** DW0 of a Connect that ended with `invalidParameters`. */
export const ConnectInvalid = struct(
  { title: 'Connect Response, invalid parameters', cite: '[NVMe-2.0 §6.3 Connect]', bytes: 4 },
  {
    offset: bits(0, 15, 0, 'Invalid Parameter Offset in bytes (IPO)'),
    isInData: bits(0, 16, 16, 'The offset counts in the data (IATTR)'),
  },
);

export const PropertyGet = struct(commandLayout('Property Get', '[NVMe-2.0 §6.5 Property Get]'), {
  fctype: bits(0x04, 7, 0, 'Fabrics Command Type (FCTYPE)', FabricsType),
  size: bits(0x28, 2, 0, 'Property size (ATTRIB)', { 'four bytes': 0, 'eight bytes': 1 }),
  offset: u32(0x2c, 'Offset (OFST)'),
});

export const PropertySet = struct(commandLayout('Property Set', '[NVMe-2.0 §6.6 Property Set]'), {
  fctype: bits(0x04, 7, 0, 'Fabrics Command Type (FCTYPE)', FabricsType),
  size: bits(0x28, 2, 0, 'Property size (ATTRIB)', { 'four bytes': 0, 'eight bytes': 1 }),
  offset: u32(0x2c, 'Offset (OFST)'),
  value: u64(0x30, 'Value (VALUE)'),
});

export const AuthenticationSend = struct(
  commandLayout('Authentication Send', '[NVMe-2.0 §6.2 Authentication Send]'),
  {
    fctype: bits(0x04, 7, 0, 'Fabrics Command Type (FCTYPE)', FabricsType),
    spsp0: bits(0x28, 15, 8, 'SP Specific 0 (SPSP0)'),
    spsp1: bits(0x28, 23, 16, 'SP Specific 1 (SPSP1)'),
    secp: bits(0x28, 31, 24, 'Security Protocol (SECP)'),
    tl: u32(0x2c, 'Transfer Length in bytes (TL)'),
  },
);

export const AuthenticationReceive = struct(
  commandLayout('Authentication Receive', '[NVMe-2.0 §6.1 Authentication Receive]'),
  {
    fctype: bits(0x04, 7, 0, 'Fabrics Command Type (FCTYPE)', FabricsType),
    spsp0: bits(0x28, 15, 8, 'SP Specific 0 (SPSP0)'),
    spsp1: bits(0x28, 23, 16, 'SP Specific 1 (SPSP1)'),
    secp: bits(0x28, 31, 24, 'Security Protocol (SECP)'),
    al: u32(0x2c, 'Allocation Length in bytes (AL)'),
  },
);

/** SECP, SPSP0 and SPSP1 of authentication commands [NVMe-2.0 §6.2]. */
export const authenticationProtocol = { secp: 0xe9, spsp0: 1, spsp1: 1 } as const;

export const Disconnect = struct(commandLayout('Disconnect', '[NVMe-2.0 §6.4 Disconnect]'), {
  fctype: bits(0x04, 7, 0, 'Fabrics Command Type (FCTYPE)', FabricsType),
  recfmt: bits(0x28, 15, 0, 'Record Format (RECFMT)'),
});

/** An NVMe Qualified Name: 'nqn.' first, at most 223 bytes [NVMe-2.0 §4.5 NQN]. */
export const nqnPrefix = 'nqn.';
export const mostNqnBytes = 223;
export const discoveryNqn = 'nqn.2014-08.org.nvmexpress.discovery';
