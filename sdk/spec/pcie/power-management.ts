import { bits, struct } from '../layout.js';

/** [PCIe-4.0 §7.5.2 PCI Power Management Capability Structure] */
export const PowerManagement = struct(
  { title: 'PCI Power Management Capability', cite: 'PCIe-4.0 §7.5.2', bytes: 8 },
  {
    capabilityId: bits(0x00, 7, 0, 'Capability ID'),
    nextPointer: bits(0x00, 15, 8, 'Next Capability Pointer'),
    version: bits(0x00, 18, 16, 'PMC: Version'),
    pmeClock: bits(0x00, 19, 19, 'PMC: PME Clock'),
    immediateReadiness: bits(0x00, 20, 20, 'PMC: Immediate_Readiness_on_Return_to_D0'),
    deviceSpecificInit: bits(0x00, 21, 21, 'PMC: Device Specific Initialization (DSI)'),
    auxCurrent: bits(0x00, 24, 22, 'PMC: Aux_Current'),
    d1Support: bits(0x00, 25, 25, 'PMC: D1_Support'),
    d2Support: bits(0x00, 26, 26, 'PMC: D2_Support'),
    pmeSupport: bits(0x00, 31, 27, 'PMC: PME_Support'),
    powerState: bits(0x04, 1, 0, 'PMCSR: PowerState', { D0: 0, D1: 1, D2: 2, D3hot: 3 }),
    noSoftReset: bits(0x04, 3, 3, 'PMCSR: No_Soft_Reset'),
    pmeEnable: bits(0x04, 8, 8, 'PMCSR: PME_En'),
    dataSelect: bits(0x04, 12, 9, 'PMCSR: Data_Select'),
    dataScale: bits(0x04, 14, 13, 'PMCSR: Data_Scale'),
    pmeStatus: bits(0x04, 15, 15, 'PMCSR: PME_Status'),
    data: bits(0x04, 31, 24, 'Data'),
  },
);

export const PowerState = { d0: 0, d1: 1, d2: 2, d3hot: 3 } as const;
