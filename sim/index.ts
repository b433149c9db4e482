/** `ultima-sdk/sim`: simulated cards, their world, and what a test rig does to them. */

export { SimCard, type SimCardOptions } from './card.js';
export {
  Checker,
  type CheckerReport,
  type CheckerRule,
  CheckerRules,
  type ReportPlace,
} from './checker.js';
export {
  checkpointVersion,
  forkCard,
  type Restored,
  restoreCard,
  restoreWorld,
  saveCard,
  saveWorld,
} from './checkpoint/checkpoint.js';
export type { FaultOutcome } from './faults/injector.js';
export { checkFlashDrive, checkInPlaceDrive } from './ftl/check-drive.js';
export {
  type Drive,
  type DriveBreakdown,
  type DriveListener,
  DriveState,
  type DriveStatistics,
  DriveStatus,
  type DriveWear,
  driveUnitBytes,
} from './ftl/drive.js';
export type { FtlProfile } from './ftl/ftl-profile.js';
export { type DriveMedium, type DriveParts, makeDrive } from './ftl/make-drive.js';
export type { FlashProfile, PageTypeProfile } from './nand/flash-profile.js';
export type { InPlaceProfile } from './nand/in-place-profile.js';
export type { CommandAudit } from './nvme/command-audit.js';
export { LatencyBreakdown, latencyParts, splitLatency } from './nvme/latency-breakdown.js';
export { type OpenOptions, openSimulated, parseAddress, type SimulatedAddress } from './open.js';
export { SimFunction } from './pcie/function.js';
export { RootPort } from './pcie/root-port.js';
export { Prng } from './prng.js';
export { defineProfile, findProfile, type ProfileChanges, profiles } from './profiles/index.js';
export { mqsimFlash, mqsimFtl } from './profiles/mqsim-media.js';
export type { Profile } from './profiles/profile.js';
export { checkProfile } from './profiles/rules.js';
export { CardServer, type CardServerOptions, type CardServerStatus } from './serve/card-server.js';
export { Pace } from './serve/pace.js';
export { type OwnMemory, type PeerSocket, peerGone, type ServeSystem } from './serve/peer.js';
export type { TimeScale } from './serve/timekeeper.js';
export { type EventHandler, World, type WorldOptions } from './world.js';
