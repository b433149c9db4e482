import { bits, struct, u32 } from '../layout.js';

/** [PCIe-4.0 §7.8.4 Advanced Error Reporting Extended Capability], without TLP prefix log */
export const AdvancedErrors = struct(
  { title: 'Advanced Error Reporting Extended Capability', cite: 'PCIe-4.0 §7.8.4', bytes: 44 },
  {
    capabilityId: bits(0x00, 15, 0, 'PCI Express Extended Capability ID'),
    version: bits(0x00, 19, 16, 'Capability Version'),
    nextOffset: bits(0x00, 31, 20, 'Next Capability Offset'),
    uncorrectableStatus: u32(0x04, 'Uncorrectable Error Status'),
    uncorrectableMask: u32(0x08, 'Uncorrectable Error Mask'),
    uncorrectableSeverity: u32(0x0c, 'Uncorrectable Error Severity'),
    correctableStatus: u32(0x10, 'Correctable Error Status'),
    correctableMask: u32(0x14, 'Correctable Error Mask'),
    firstErrorPointer: bits(0x18, 4, 0, 'First Error Pointer'),
    ecrcGenerationCapable: bits(0x18, 5, 5, 'ECRC Generation Capable'),
    ecrcGenerationEnable: bits(0x18, 6, 6, 'ECRC Generation Enable'),
    ecrcCheckCapable: bits(0x18, 7, 7, 'ECRC Check Capable'),
    ecrcCheckEnable: bits(0x18, 8, 8, 'ECRC Check Enable'),
    headerLog0: u32(0x1c, 'Header Log, first dword'),
    headerLog1: u32(0x20, 'Header Log, second dword'),
    headerLog2: u32(0x24, 'Header Log, third dword'),
    headerLog3: u32(0x28, 'Header Log, fourth dword'),
  },
);

/** Bits of status, mask and severity [PCIe-4.0 §7.8.4.2 Uncorrectable Error Status]. */
export const UncorrectableErrors = struct(
  { title: 'Uncorrectable Errors', cite: 'PCIe-4.0 §7.8.4.2', bytes: 4 },
  {
    dataLinkProtocol: bits(0x00, 4, 4, 'Data Link Protocol Error'),
    surpriseDown: bits(0x00, 5, 5, 'Surprise Down Error'),
    poisonedTlp: bits(0x00, 12, 12, 'Poisoned TLP Received'),
    flowControlProtocol: bits(0x00, 13, 13, 'Flow Control Protocol Error'),
    completionTimeout: bits(0x00, 14, 14, 'Completion Timeout'),
    completerAbort: bits(0x00, 15, 15, 'Completer Abort'),
    unexpectedCompletion: bits(0x00, 16, 16, 'Unexpected Completion'),
    receiverOverflow: bits(0x00, 17, 17, 'Receiver Overflow'),
    malformedTlp: bits(0x00, 18, 18, 'Malformed TLP'),
    ecrc: bits(0x00, 19, 19, 'ECRC Error'),
    unsupportedRequest: bits(0x00, 20, 20, 'Unsupported Request Error'),
    acsViolation: bits(0x00, 21, 21, 'ACS Violation'),
    internal: bits(0x00, 22, 22, 'Uncorrectable Internal Error'),
  },
);

/** Bits of status and mask [PCIe-4.0 §7.8.4.5 Correctable Error Status]. */
export const CorrectableErrors = struct(
  { title: 'Correctable Errors', cite: 'PCIe-4.0 §7.8.4.5', bytes: 4 },
  {
    receiver: bits(0x00, 0, 0, 'Receiver Error'),
    badTlp: bits(0x00, 6, 6, 'Bad TLP'),
    badDllp: bits(0x00, 7, 7, 'Bad DLLP'),
    replayRollover: bits(0x00, 8, 8, 'REPLAY_NUM Rollover'),
    replayTimeout: bits(0x00, 12, 12, 'Replay Timer Timeout'),
    advisoryNonFatal: bits(0x00, 13, 13, 'Advisory Non-Fatal Error'),
    internal: bits(0x00, 14, 14, 'Corrected Internal Error'),
    headerLogOverflow: bits(0x00, 15, 15, 'Header Log Overflow'),
  },
);

/** Reset value of the severity register: what is fatal [PCIe-4.0 §7.8.4.4]. */
export const defaultSeverity = 0x0046_2030;
/** Reset value of the correctable mask: advisory errors and those of optional features. */
export const defaultCorrectableMask = 0x0000_e000;
