import type { Struct } from '../layout.js';
import * as admin from './admin-command.js';
import * as nvm from './nvm-command.js';
import { AdminOpcode, NvmOpcode, type QueueKind } from './opcodes.js';

const adminTables: ReadonlyMap<number, Struct> = new Map<number, Struct>([
  [AdminOpcode.deleteSubmissionQueue, admin.DeleteSubmissionQueue],
  [AdminOpcode.createSubmissionQueue, admin.CreateSubmissionQueue],
  [AdminOpcode.getLogPage, admin.GetLogPage],
  [AdminOpcode.deleteCompletionQueue, admin.DeleteCompletionQueue],
  [AdminOpcode.createCompletionQueue, admin.CreateCompletionQueue],
  [AdminOpcode.identify, admin.Identify],
  [AdminOpcode.abort, admin.Abort],
  [AdminOpcode.setFeatures, admin.SetFeatures],
  [AdminOpcode.getFeatures, admin.GetFeatures],
  [AdminOpcode.asynchronousEventRequest, admin.AsynchronousEventRequest],
  [AdminOpcode.namespaceManagement, admin.NamespaceManagement],
  [AdminOpcode.firmwareCommit, admin.FirmwareCommit],
  [AdminOpcode.firmwareDownload, admin.FirmwareDownload],
  [AdminOpcode.deviceSelfTest, admin.DeviceSelfTest],
  [AdminOpcode.namespaceAttachment, admin.NamespaceAttachment],
  [AdminOpcode.keepAlive, admin.KeepAlive],
  [AdminOpcode.directiveSend, admin.DirectiveSend],
  [AdminOpcode.directiveReceive, admin.DirectiveReceive],
  [AdminOpcode.virtualizationManagement, admin.VirtualizationManagement],
  [AdminOpcode.managementSend, admin.ManagementSend],
  [AdminOpcode.managementReceive, admin.ManagementReceive],
  [AdminOpcode.capacityManagement, admin.CapacityManagement],
  [AdminOpcode.lockdown, admin.Lockdown],
  [AdminOpcode.doorbellBufferConfig, admin.DoorbellBufferConfig],
  [AdminOpcode.formatNvm, admin.FormatNvm],
  [AdminOpcode.securitySend, admin.SecuritySend],
  [AdminOpcode.securityReceive, admin.SecurityReceive],
  [AdminOpcode.sanitize, admin.Sanitize],
  [AdminOpcode.getLbaStatus, admin.GetLbaStatus],
]);

const nvmTables: ReadonlyMap<number, Struct> = new Map<number, Struct>([
  [NvmOpcode.flush, nvm.Flush],
  [NvmOpcode.write, nvm.Write],
  [NvmOpcode.read, nvm.Read],
  [NvmOpcode.writeUncorrectable, nvm.WriteUncorrectable],
  [NvmOpcode.compare, nvm.Compare],
  [NvmOpcode.writeZeroes, nvm.WriteZeroes],
  [NvmOpcode.datasetManagement, nvm.DatasetManagement],
  [NvmOpcode.verify, nvm.Verify],
  [NvmOpcode.reservationRegister, nvm.ReservationRegister],
  [NvmOpcode.reservationReport, nvm.ReservationReport],
  [NvmOpcode.reservationAcquire, nvm.ReservationAcquire],
  [NvmOpcode.reservationRelease, nvm.ReservationRelease],
  [NvmOpcode.copy, nvm.Copy],
]);

/** The table of a command's own fields; undefined for an opcode that the sets do not define. */
export function commandTable(opcode: number, kind: QueueKind): Struct | undefined {
  return (kind === 'admin' ? adminTables : nvmTables).get(opcode);
}
