import { bits, struct, u32 } from '../layout.js';

/**
 * Fields that the tables split into their parts, once more as the numbers that a controller
 * returned: 0's based where the standard is, reserved bits included. Tools print them so.
 */
export const ControllerFields = struct(
  {
    title: 'Identify Controller, undivided fields',
    cite: '[NVMe-2.0 §5.17.2.1 Identify Controller]',
    bytes: 4096,
  },
  {
    cmic: bits(76, 7, 0, 'Controller Multi-Path I/O and Namespace Sharing Capabilities (CMIC)'),
    oaes: u32(92, 'Optional Asynchronous Events Supported (OAES)'),
    ctratt: u32(96, 'Controller Attributes (CTRATT)'),
    oacs: bits(256, 15, 0, 'Optional Admin Command Support (OACS)'),
    acl: bits(256, 23, 16, "Abort Command Limit, 0's based (ACL)"),
    aerl: bits(256, 31, 24, "Asynchronous Event Request Limit, 0's based (AERL)"),
    frmw: bits(260, 7, 0, 'Firmware Updates (FRMW)'),
    lpa: bits(260, 15, 8, 'Log Page Attributes (LPA)'),
    elpe: bits(260, 23, 16, "Error Log Page Entries, 0's based (ELPE)"),
    npss: bits(260, 31, 24, "Number of Power States Support, 0's based (NPSS)"),
    dsto: bits(316, 23, 16, 'Device Self-test Options (DSTO)'),
    sanicap: u32(328, 'Sanitize Capabilities (SANICAP)'),
    anacap: bits(340, 31, 24, 'Asymmetric Namespace Access Capabilities (ANACAP)'),
    sqes: bits(512, 7, 0, 'Submission Queue Entry Size (SQES)'),
    cqes: bits(512, 15, 8, 'Completion Queue Entry Size (CQES)'),
    oncs: bits(520, 15, 0, 'Optional NVM Command Support (ONCS)'),
    fuses: bits(520, 31, 16, 'Fused Operation Support (FUSES)'),
    fna: bits(524, 7, 0, 'Format NVM Attributes (FNA)'),
    vwc: bits(524, 15, 8, 'Volatile Write Cache (VWC)'),
    awun: bits(524, 31, 16, "Atomic Write Unit Normal, 0's based (AWUN)"),
    awupf: bits(528, 15, 0, "Atomic Write Unit Power Fail, 0's based (AWUPF)"),
    nwpc: bits(528, 31, 24, 'Namespace Write Protection Capabilities (NWPC)'),
    acwu: bits(532, 15, 0, "Atomic Compare and Write Unit, 0's based (ACWU)"),
    sgls: u32(536, 'SGL Support (SGLS)'),
  },
);

export const NamespaceFields = struct(
  {
    title: 'Identify Namespace, undivided fields',
    cite: '[NVM-1.0 §4.1.5.1 Identify Namespace]',
    bytes: 4096,
  },
  {
    nsfeat: bits(24, 7, 0, 'Namespace Features (NSFEAT)'),
    nlbaf: bits(24, 15, 8, "Number of LBA Formats, 0's based (NLBAF)"),
    flbas: bits(24, 23, 16, 'Formatted LBA Size (FLBAS)'),
    mc: bits(24, 31, 24, 'Metadata Capabilities (MC)'),
    dpc: bits(28, 7, 0, 'End-to-end Data Protection Capabilities (DPC)'),
    dps: bits(28, 15, 8, 'End-to-end Data Protection Type Settings (DPS)'),
    nmic: bits(28, 23, 16, 'Namespace Multi-path I/O and Sharing Capabilities (NMIC)'),
    rescap: bits(28, 31, 24, 'Reservation Capabilities (RESCAP)'),
    fpi: bits(32, 7, 0, 'Format Progress Indicator (FPI)'),
    dlfeat: bits(32, 15, 8, 'Deallocate Logical Block Features (DLFEAT)'),
    nawun: bits(32, 31, 16, "Namespace Atomic Write Unit Normal, 0's based (NAWUN)"),
    nawupf: bits(36, 15, 0, "Namespace Atomic Write Unit Power Fail, 0's based (NAWUPF)"),
    nacwu: bits(36, 31, 16, "Namespace Atomic Compare and Write Unit, 0's based (NACWU)"),
    npwg: bits(64, 15, 0, "Namespace Preferred Write Granularity, 0's based (NPWG)"),
    npwa: bits(64, 31, 16, "Namespace Preferred Write Alignment, 0's based (NPWA)"),
    npdg: bits(68, 15, 0, "Namespace Preferred Deallocate Granularity, 0's based (NPDG)"),
    npda: bits(68, 31, 16, "Namespace Preferred Deallocate Alignment, 0's based (NPDA)"),
    nows: bits(72, 15, 0, "Namespace Optimal Write Size, 0's based (NOWS)"),
    msrc: bits(80, 7, 0, "Maximum Source Range Count, 0's based (MSRC)"),
    nsattr: bits(96, 31, 24, 'Namespace Attributes (NSATTR)'),
  },
);

export const PowerFields = struct(
  {
    title: 'Power State Descriptor, undivided fields',
    cite: '[NVMe-2.0 §5.17.2.1 PSD]',
    bytes: 32,
  },
  { flags: bits(0, 31, 24, 'Max Power Scale and Non-Operational State (MXPS, NOPS)') },
);

export const HealthFields = struct(
  {
    title: 'SMART / Health Information log, undivided fields',
    cite: '[NVMe-2.0 §5.16.1.3 SMART / Health Information]',
    bytes: 512,
  },
  { criticalWarning: bits(0, 7, 0, 'Critical Warning') },
);

export const ErrorFields = struct(
  {
    title: 'Error Information Log Entry, undivided fields',
    cite: '[NVMe-2.0 §5.16.1.2 Error Information]',
    bytes: 64,
  },
  { parameter: bits(12, 31, 16, 'Parameter Error Location') },
);
