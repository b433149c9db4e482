/** The public surface of the package. */

export { checkRequest } from './block/check.js';
export type { BlockDevice, BlockLimits } from './block/device.js';
export { FailoverDevice, type FailoverOptions } from './block/failover.js';
export { FileDevice, type FileDeviceOptions } from './block/file.js';
export { MemoryDevice, type MemoryDeviceOptions, MemorySpace } from './block/memory.js';
export {
  type DeviceRange,
  discardBlocks,
  flushBlocks,
  readBlocks,
  writeBlocks,
} from './block/promised.js';
export {
  BlockOp,
  BlockRequest,
  BlockStatus,
  blockFlagFua,
  type Outcome,
  outcomeOf,
} from './block/request.js';
export type {
  Acquisition,
  DeviceReservations,
  Registration,
  Release,
  ReservationKind,
  ReservationState,
  SharedBlockDevice,
} from './block/reservations.js';
export type { EtcdOptions, EtcdTls } from './cluster/etcd-client.js';
export { EtcdStore } from './cluster/etcd-store.js';
export { FileStore, type FileStoreOptions } from './cluster/file-store.js';
export { MemoryStore } from './cluster/memory-store.js';
export type {
  ClusterStore,
  CommitResult,
  Lease,
  StoreChange,
  StoreCondition,
  StoreEntry,
  StoreEvent,
  StoreList,
  StoreWatch,
  StoreWatcher,
} from './cluster/store.js';
export { StoreServer, type StoreServerOptions } from './cluster/store-server.js';
export type {
  Bar,
  Clock,
  ConfigSpace,
  DmaAccess,
  DmaOptions,
  DmaRegion,
  DmaSpace,
  FunctionReset,
  Interrupts,
  PciFunction,
} from './device.js';
export { ErrorCode, type ErrorFacts, UltimaError } from './errors.js';
export type { Association, HostIdentity } from './fabric/association.js';
export {
  NvmeTcp,
  type NvmeTcpEvent,
  type NvmeTcpOptions,
  type VendorRequest,
} from './fabric/initiator.js';
export { RemoteNamespace } from './fabric/remote-namespace.js';
export { makeSecret, parseSecret } from './fabric/secret.js';
export type { FabricNamespace, ReservationStore } from './fabric/served-namespace.js';
export {
  type FabricHost,
  FabricSubsystem,
  type SubsystemOptions,
  type VendorAnswer,
  type VendorCommand,
} from './fabric/subsystem.js';
export {
  NvmeTcpTarget,
  type NvmeTcpTargetOptions,
  type NvmeTcpTargetStatus,
} from './fabric/target.js';
export { type FaultKind, type FaultKindRule, faultKinds } from './faults/kinds.js';
export {
  type CommandMatch,
  checkFaultPlan,
  type FaultMoment,
  type FaultPlace,
  type FaultPlan,
  type FaultPlanSpec,
  type FaultSpec,
} from './faults/plan.js';
export type { Difference } from './mirror/healer.js';
export { LocalMember, type MemberDevices } from './mirror/local-member.js';
export type { MemberHeader, MemberIdentity, MirrorGeometry } from './mirror/member-header.js';
export { Mirror } from './mirror/mirror.js';
export { createMirror, type MirrorOptions, type MirrorSpec } from './mirror/options.js';
export type { MemberAssociation, MemberPort, MemberVolume } from './mirror/port.js';
export { RawMember, type RawMemberOptions } from './mirror/raw-member.js';
export type { MemberStatus, MirrorStatus } from './mirror/rows.js';
export {
  DifferenceFlag,
  type NbdDifference,
  type NbdMetadata,
  type NbdRange,
  type NbdRanges,
} from './nbd/metadata.js';
export type { NbdExport } from './nbd/served-export.js';
export {
  NbdServer,
  type NbdServerOptions,
  type NbdServerStatus,
  type NbdTls,
} from './nbd/server.js';
export {
  exportOfVolume,
  exportsOfPool,
  type PoolExportOptions,
  type VolumeExportOptions,
} from './nbd/volume-export.js';
export { NodeAgent, type NodeAgentOptions } from './node/agent.js';
export { Attachment, type AttachmentOptions } from './node/attachment.js';
export {
  ClusterDirectory,
  type NewClusterVolume,
  type NodeView,
  type Versioned,
} from './node/directory.js';
export { defaultShares, type MemberCounts, type MemberShares } from './node/member-shares.js';
export { type Candidate, type PlacementWish, placeMembers } from './node/placement.js';
export type {
  AliveRecord,
  ClusterRecord,
  NodeRecord,
  PlacedMember,
  VolumeRecord,
  VolumeState,
} from './node/records.js';
export { Admin } from './nvme/admin.js';
export type { CommandResult, DmaSlice } from './nvme/admin-queue.js';
export type { ControllerIdentity, Health } from './nvme/admin-results.js';
export { NvmeController } from './nvme/controller.js';
export type { ControllerState } from './nvme/core.js';
export type { ControllerEvent, EventListener } from './nvme/events.js';
export type { Data, IoOptions, Protection, TransferOptions } from './nvme/io-options.js';
export type { LoanPort } from './nvme/loan-messages.js';
export { Namespace } from './nvme/namespace.js';
export type { NamespaceFormat } from './nvme/namespace-format.js';
export type { BlockRange } from './nvme/nvm-commands.js';
export type { QueueObserver } from './nvme/observer.js';
export type { CompletionMode, ControllerOptions } from './nvme/options.js';
export {
  type BorrowedNamespace,
  type BorrowOptions,
  borrowNamespace,
} from './nvme/queue-borrower.js';
export { QueueLender } from './nvme/queue-lender.js';
export type { QueuePairOptions } from './nvme/queue-making.js';
export { QueuePair } from './nvme/queue-pair.js';
export { SubmissionQueue } from './nvme/submission-queue.js';
export {
  type AssignOptions,
  type CardQosCapabilities,
  type CardQosCounters,
  type CardTier,
  qosEventOf,
  UltimaQos,
} from './nvme/ultima-qos.js';
export type {
  CardCapacity,
  CardCapacityPoint,
  CardQosCopies,
  CardQosHistory,
  CardQosInterval,
} from './nvme/ultima-qos-pages.js';
export { formatHgrm } from './observe/hgrm.js';
export { type Bin, Histogram } from './observe/histogram.js';
export { PerfettoTrace, type SliceOptions } from './observe/perfetto.js';
export { type Report, renderReport, writeReport } from './observe/report.js';
export { Timeline, type TimelinePoint } from './observe/timeline.js';
export {
  type FaultRecord,
  type LinkFigures,
  type NodeCard,
  type OpenCard,
  type OpenNodes,
  type OpenOptions,
  open,
  openCard,
  openNodes,
} from './open.js';
export { enforce, type PolicyInForce, type PolicyOptions } from './policy.js';
export {
  Admission,
  type AdmissionOptions,
  type Asked,
  type CapacityPoint,
} from './qos/admission.js';
export {
  admissionOf,
  type CalibrateOptions,
  type Calibration,
  calibrate,
  type Measured,
} from './qos/calibrate.js';
export { CostModel, type CostWeights } from './qos/cost.js';
export { type GateCounts, type QosDevice, QosGate, type QosGateOptions } from './qos/gate.js';
export {
  type PolicyJson,
  policyFrom,
  policyJson,
  type QosPolicy,
  type TierJson,
} from './qos/policy-file.js';
export { Scheduler, type SchedulerOptions, type Share } from './qos/scheduler.js';
export { bestEffort, builtInTiers, shareOf, type Tier, TierTable } from './qos/tiers.js';
export { type MutualTls, NodeSockets } from './sockets/node-sockets.js';
export { openSockets } from './sockets/open.js';
export type { LocalSockets, Sockets } from './sockets/stream.js';
export { QosStatus } from './spec/ultima/qos.js';
export { type EmitOptions, emitFio3, emitMqsim } from './trace/emit.js';
export type { ReplayRecorder } from './trace/engine.js';
export { type LatencyError, latencyErrors, residualOf } from './trace/latency-error.js';
export { parseTrace, type ReadTraceOptions, readTrace, traceFormats } from './trace/read.js';
export {
  type ReplayOptions,
  type ReplayProgress,
  type ReplayResult,
  replayTrace,
} from './trace/replay.js';
export { formatSession, parseSession, type Session } from './trace/session.js';
export { StageRecorder } from './trace/stages.js';
export { type Trace, traceFlagFua } from './trace/trace.js';
export type { Mismatch, MismatchKind } from './trace/verify.js';
export type { CatalogObject } from './volume/catalog.js';
export { VolumeCipher } from './volume/cipher.js';
export type { KeyFinder } from './volume/core.js';
export type { PoolOptions } from './volume/create.js';
export type { ChangedRange } from './volume/diff.js';
export type { Finding } from './volume/findings.js';
export { Pool, type PoolOpenOptions } from './volume/pool.js';
export type {
  CreatedOptions,
  GroupMember,
  NewVolume,
  ObjectName,
  SnapshotOptions,
  SnapshotResult,
} from './volume/pool-names.js';
export type { BadRange, ScrubOptions, ScrubResult } from './volume/scrub.js';
export type { ObjectSpace, PoolSpace } from './volume/space.js';
export type { SpaceEvent, SpaceListener } from './volume/space-watch.js';
export type { LongWork, StepListener } from './volume/steps.js';
export { Volume } from './volume/volume.js';
