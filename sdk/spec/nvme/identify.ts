import { bits, repeat, struct, u32, u64, wide } from '../layout.js';

/** CNS: which structure Identify returns [NVMe-2.0 §5.17.1 CNS]. */
export const Cns = {
  namespace: 0x00,
  controller: 0x01,
  activeNamespaces: 0x02,
  namespaceDescriptors: 0x03,
  nvmSets: 0x04,
  namespaceOfCommandSet: 0x05,
  controllerOfCommandSet: 0x06,
  activeNamespacesOfCommandSet: 0x07,
  namespaceIndependent: 0x08,
  namespaceOfFormat: 0x09,
  namespaceOfFormatAndSet: 0x0a,
  allocatedNamespaces: 0x10,
  allocatedNamespace: 0x11,
  controllersOfNamespace: 0x12,
  controllers: 0x13,
  primaryCapabilities: 0x14,
  secondaryControllers: 0x15,
  namespaceGranularity: 0x16,
  uuids: 0x17,
  domains: 0x18,
  enduranceGroups: 0x19,
  allocatedNamespacesOfCommandSet: 0x1a,
  allocatedNamespaceOfCommandSet: 0x1b,
  commandSets: 0x1c,
} as const;

/** CSI: I/O command set identifiers [NVMe-2.0 §? CSI]. */
export const CommandSet = { nvm: 0x00, keyValue: 0x01, zoned: 0x02 } as const;

/** Every structure that Identify returns is one page of this many bytes. */
export const identifyBytes = 4096;

/** Namespace identifiers that mean more than a namespace. */
export const Nsid = { none: 0, broadcast: 0xffff_ffff, lastUsable: 0xffff_fffe } as const;

const NamespaceListEntry = struct(
  { title: 'Namespace List entry', cite: '[NVMe-2.0 §4.4.2 Namespace List]', bytes: 4 },
  { nsid: u32(0, 'Namespace Identifier (NSID)') },
);

/** Ascending identifiers, closed by a zero unless all places are used. */
export const NamespaceList = struct(
  { title: 'Namespace List', cite: '[NVMe-2.0 §4.4.2 Namespace List]', bytes: 4096 },
  { entries: repeat(0, 1024, NamespaceListEntry, 'Namespace identifiers') },
);

/** Entries are 16 bits wide: `identifiers` read as a little-endian array of them. */
export const ControllerList = struct(
  { title: 'Controller List', cite: '[NVMe-2.0 §4.4.1 Controller List]', bytes: 4096 },
  {
    count: bits(0, 15, 0, 'Number of Identifiers'),
    identifiers: wide(2, 4094, 'raw', 'Controller identifiers, 16 bits each, ascending'),
  },
);

export const controllerListMaximum = 2047;

export const NvmSetEntry = struct(
  { title: 'NVM Set Attributes Entry', cite: '[NVMe-2.0 §5.17.2.5 NVM Set List]', bytes: 128 },
  {
    nvmsetid: bits(0, 15, 0, 'NVM Set Identifier (NVMSETID)'),
    endgid: bits(0, 31, 16, 'Endurance Group Identifier (ENDGID)'),
    rr4kt: u32(8, 'Random 4 KiB Read Typical in 100 ns'),
    ows: u32(12, 'Optimal Write Size in bytes'),
    tnvmsetcap: wide(16, 16, 'count', 'Total NVM Set Capacity in bytes'),
    unvmsetcap: wide(32, 16, 'count', 'Unallocated NVM Set Capacity in bytes'),
  },
);

export const NvmSetList = struct(
  { title: 'NVM Set List', cite: '[NVMe-2.0 §5.17.2.5 NVM Set List]', bytes: 4096 },
  {
    count: bits(0, 7, 0, 'Number of Identifiers'),
    entries: repeat(128, 31, NvmSetEntry, 'NVM Set Attributes Entries'),
  },
);

export const GranularityEntry = struct(
  {
    title: 'Namespace Granularity Descriptor',
    cite: '[NVMe-2.0 §5.17.2.18 Namespace Granularity List]',
    bytes: 16,
  },
  {
    nszeg: u64(0, 'Namespace Size Granularity in bytes (NSZEG)'),
    ncapg: u64(8, 'Namespace Capacity Granularity in bytes (NCAPG)'),
  },
);

export const GranularityList = struct(
  {
    title: 'Namespace Granularity List',
    cite: '[NVMe-2.0 §5.17.2.18 Namespace Granularity List]',
    bytes: 4096,
  },
  {
    perFormat: bits(0, 0, 0, 'One descriptor for each LBA format'),
    count: bits(4, 7, 0, "Number of Descriptors, 0's based"),
    entries: repeat(32, 16, GranularityEntry, 'Namespace Granularity Descriptors'),
  },
);

export const UuidAssociation = { none: 0, vendor: 1, subsystemVendor: 2 } as const;

export const UuidEntry = struct(
  { title: 'UUID List Entry', cite: '[NVMe-2.0 §5.17.2.19 UUID List]', bytes: 32 },
  {
    association: bits(0, 1, 0, 'Identifier Association', UuidAssociation),
    uuid: wide(16, 16, 'id', 'UUID'),
  },
);

export const UuidList = struct(
  { title: 'UUID List', cite: '[NVMe-2.0 §5.17.2.19 UUID List]', bytes: 4096 },
  { entries: repeat(32, 127, UuidEntry, 'UUID List Entries') },
);

export const DomainEntry = struct(
  { title: 'Domain Attributes Entry', cite: '[NVMe-2.0 §5.17.2.20 Domain List]', bytes: 128 },
  {
    id: bits(0, 15, 0, 'Domain Identifier'),
    total: wide(16, 16, 'count', 'Total Domain Capacity in bytes'),
    unallocated: wide(32, 16, 'count', 'Unallocated Domain Capacity in bytes'),
    maximumGroup: wide(48, 16, 'count', 'Max Endurance Group Domain Capacity in bytes'),
  },
);

export const DomainList = struct(
  { title: 'Domain List', cite: '[NVMe-2.0 §5.17.2.20 Domain List]', bytes: 4096 },
  {
    count: bits(0, 7, 0, 'Number of Domain Entries'),
    entries: repeat(128, 31, DomainEntry, 'Domain Attributes Entries'),
  },
);

/** Entries are 16 bits wide: `identifiers` read as a little-endian array of them. */
export const EnduranceGroupList = struct(
  {
    title: 'Endurance Group List',
    cite: '[NVMe-2.0 §5.17.2.21 Endurance Group List]',
    bytes: 4096,
  },
  {
    count: bits(0, 15, 0, 'Number of Identifiers'),
    identifiers: wide(2, 4094, 'raw', 'Endurance group identifiers, 16 bits each, ascending'),
  },
);

const CommandSetVector = struct(
  { title: 'I/O Command Set Vector', cite: '[NVMe-2.0 §5.17.2.23 I/O Command Set]', bytes: 8 },
  {
    nvm: bits(0, 0, 0, 'NVM Command Set'),
    keyValue: bits(0, 1, 1, 'Key Value Command Set'),
    zoned: bits(0, 2, 2, 'Zoned Namespace Command Set'),
  },
);

export const CommandSets = struct(
  {
    title: 'Identify I/O Command Set',
    cite: '[NVMe-2.0 §5.17.2.23 I/O Command Set]',
    bytes: 4096,
  },
  { combinations: repeat(0, 512, CommandSetVector, 'Combinations that may be enabled together') },
);
