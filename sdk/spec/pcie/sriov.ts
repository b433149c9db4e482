import { bits, struct, u32 } from '../layout.js';

/** [PCIe-4.0 §9.3.3 SR-IOV Extended Capability] */
export const Sriov = struct(
  { title: 'SR-IOV Extended Capability', cite: 'PCIe-4.0 §9.3.3', bytes: 64 },
  {
    capabilityId: bits(0x00, 15, 0, 'PCI Express Extended Capability ID'),
    version: bits(0x00, 19, 16, 'Capability Version'),
    nextOffset: bits(0x00, 31, 20, 'Next Capability Offset'),
    migrationCapable: bits(0x04, 0, 0, 'VF Migration Capable'),
    ariPreserved: bits(0x04, 1, 1, 'ARI Capable Hierarchy Preserved'),
    migrationMessage: bits(0x04, 31, 21, 'VF Migration Interrupt Message Number'),
    vfEnable: bits(0x08, 0, 0, 'Control: VF Enable'),
    migrationEnable: bits(0x08, 1, 1, 'Control: VF Migration Enable'),
    migrationInterrupt: bits(0x08, 2, 2, 'Control: VF Migration Interrupt Enable'),
    vfMemoryEnable: bits(0x08, 3, 3, 'Control: VF MSE'),
    ariCapable: bits(0x08, 4, 4, 'Control: ARI Capable Hierarchy'),
    migrationStatus: bits(0x08, 16, 16, 'Status: VF Migration Status'),
    initialVfs: bits(0x0c, 15, 0, 'InitialVFs'),
    totalVfs: bits(0x0c, 31, 16, 'TotalVFs'),
    vfCount: bits(0x10, 15, 0, 'NumVFs'),
    dependencyLink: bits(0x10, 23, 16, 'Function Dependency Link'),
    firstVfOffset: bits(0x14, 15, 0, 'First VF Offset'),
    vfStride: bits(0x14, 31, 16, 'VF Stride'),
    vfDeviceId: bits(0x18, 31, 16, 'VF Device ID'),
    supportedPageSizes: u32(0x1c, 'Supported Page Sizes'),
    systemPageSize: u32(0x20, 'System Page Size'),
    vfBar0: u32(0x24, 'VF BAR 0'),
    vfBar1: u32(0x28, 'VF BAR 1'),
    vfBar2: u32(0x2c, 'VF BAR 2'),
    vfBar3: u32(0x30, 'VF BAR 3'),
    vfBar4: u32(0x34, 'VF BAR 4'),
    vfBar5: u32(0x38, 'VF BAR 5'),
    migrationStateBar: bits(0x3c, 2, 0, 'VF Migration State BIR'),
    migrationStateOffset8: bits(0x3c, 31, 3, 'VF Migration State Offset, units of 8 bytes'),
  },
);

/** Page sizes every SR-IOV device offers: 4, 8, 64, 256 KiB, 1 and 4 MiB [PCIe-4.0 §9.3.3.12]. */
export const requiredPageSizes = 0x0000_0553;
/** Reset value of System Page Size: 4 KiB. */
export const defaultPageSize = 0x0000_0001;
