/** What test rigs import: fixtures from the function down to the buffer, workers, data checks. */
export {
  type EnableOptions,
  RawCommand,
  type RawCompletion,
  RawCompletionQueue,
  RawController,
  type RawData,
  type RawObserver,
  type RawOptions,
  RawSubmissionQueue,
  type SglEntry,
  writePrpList,
  writeSglSegment,
} from '../nvme/raw.js';
export { hexDump, type Pattern, poison, TestBuffer } from './buffer.js';
export { CommandLog } from './command-log.js';
export { readFaultPlan } from './fault-plan.js';
export { type LbaDistribution, LbaPicker } from './lba-picker.js';
export { activeNamespaces, type BlockRange, NamespaceFixture, namespaceList } from './namespace.js';
export { TestPrng } from './prng.js';
export { createCq, createSq, deleteQueue, QueueFixture, type QueueOptions } from './queue.js';
export {
  type FeatureOptions,
  type IdentifyOptions,
  type LogOptions,
  Rig,
  type RigOptions,
  setIf,
} from './rig.js';
export { StampBook, type StampFault } from './stamps.js';
export { Unsupported } from './unsupported.js';
export {
  deepest,
  IoWorker,
  type Weighted,
  type WorkerOp,
  type WorkerOptions,
  type WorkerReport,
} from './worker.js';
