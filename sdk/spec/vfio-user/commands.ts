import { RegionAccess, RegionWriteMulti } from './access.js';
import { DeviceInfo, RegionInfo, RegionIoFds } from './device.js';
import { DmaMap, DmaTransfer, DmaUnmap } from './dma.js';
import { DeviceFeature, MigrationData } from './feature.js';
import { Command } from './header.js';
import { IrqInfo, IrqSet } from './interrupt.js';
import { VersionMessage } from './version.js';

/** Bytes behind the header that no message of the kind goes without. */
export interface LeastPayload {
  readonly command: number;
  readonly reply: number;
}

const both = (bytes: number): LeastPayload => ({ command: bytes, reply: bytes });

/** Every command that there is. An error reply has no payload, whatever stands here. */
export const leastPayloads: ReadonlyMap<number, LeastPayload> = new Map<number, LeastPayload>([
  [Command.version, both(VersionMessage.layout.bytes)],
  [Command.dmaMap, { command: DmaMap.layout.bytes, reply: 0 }],
  [Command.dmaUnmap, both(DmaUnmap.layout.bytes)],
  [Command.deviceGetInfo, both(DeviceInfo.layout.bytes)],
  [Command.deviceGetRegionInfo, both(RegionInfo.layout.bytes)],
  [Command.deviceGetRegionIoFds, both(RegionIoFds.layout.bytes)],
  [Command.deviceGetIrqInfo, both(IrqInfo.layout.bytes)],
  [Command.deviceSetIrqs, { command: IrqSet.layout.bytes, reply: 0 }],
  [Command.regionRead, both(RegionAccess.layout.bytes)],
  [Command.regionWrite, both(RegionAccess.layout.bytes)],
  [Command.dmaRead, both(DmaTransfer.layout.bytes)],
  // The text counts the bytes written in a dword here, and in a quadword everywhere else.
  [Command.dmaWrite, { command: DmaTransfer.layout.bytes, reply: 12 }],
  [Command.deviceReset, both(0)],
  [Command.regionWriteMulti, both(RegionWriteMulti.layout.bytes)],
  [Command.deviceFeature, both(DeviceFeature.layout.bytes)],
  [Command.migrationRead, both(MigrationData.layout.bytes)],
  [Command.migrationWrite, { command: MigrationData.layout.bytes, reply: 0 }],
]);
