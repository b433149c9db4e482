/** What the world did to us, by name. Each code says which facts it carries and what to do next. */
export const ErrorCode = {
  addressInvalid: 'ADDRESS_INVALID',
  backendUnavailable: 'BACKEND_UNAVAILABLE',
  checkpointInvalid: 'CHECKPOINT_INVALID',
  commandAborted: 'COMMAND_ABORTED',
  commandFailed: 'COMMAND_FAILED',
  commandTimeout: 'COMMAND_TIMEOUT',
  controllerFatal: 'CONTROLLER_FATAL',
  controllerTimeout: 'CONTROLLER_TIMEOUT',
  deviceBusy: 'DEVICE_BUSY',
  deviceRemoved: 'DEVICE_REMOVED',
  deviceUnsupported: 'DEVICE_UNSUPPORTED',
  deviceMisbehaved: 'DEVICE_MISBEHAVED',
  dmaExhausted: 'DMA_EXHAUSTED',
  dmaMapFailed: 'DMA_MAP_FAILED',
  faultPlanInvalid: 'FAULT_PLAN_INVALID',
  fileInvalid: 'FILE_INVALID',
  fileUnwritable: 'FILE_UNWRITABLE',
  iommuMissing: 'IOMMU_MISSING',
  memberLost: 'MEMBER_LOST',
  memberRefused: 'MEMBER_REFUSED',
  mirrorBusy: 'MIRROR_BUSY',
  mirrorFenced: 'MIRROR_FENCED',
  mirrorInvalid: 'MIRROR_INVALID',
  mirrorLost: 'MIRROR_LOST',
  nameTaken: 'NAME_TAKEN',
  namespaceInvalid: 'NAMESPACE_INVALID',
  notFound: 'NOT_FOUND',
  outcomeUnknown: 'OUTCOME_UNKNOWN',
  placementImpossible: 'PLACEMENT_IMPOSSIBLE',
  poolDamaged: 'POOL_DAMAGED',
  poolFull: 'POOL_FULL',
  poolInvalid: 'POOL_INVALID',
  poolReadOnly: 'POOL_READ_ONLY',
  profileInvalid: 'PROFILE_INVALID',
  profileUnknown: 'PROFILE_UNKNOWN',
  qosMeasurementFailed: 'QOS_MEASUREMENT_FAILED',
  qosOvercommitted: 'QOS_OVERCOMMITTED',
  queueDeleted: 'QUEUE_DELETED',
  queueFull: 'QUEUE_FULL',
  storeCompacted: 'STORE_COMPACTED',
  storeInvalid: 'STORE_INVALID',
  storeRefused: 'STORE_REFUSED',
  storeRolledBack: 'STORE_ROLLED_BACK',
  storeUnknown: 'STORE_UNKNOWN',
  storeUnreachable: 'STORE_UNREACHABLE',
  usage: 'USAGE',
  verifyFailed: 'VERIFY_FAILED',
  volumeBusy: 'VOLUME_BUSY',
  worldStalled: 'WORLD_STALLED',
} as const;

export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

export type ErrorFacts = Readonly<Record<string, string | number | bigint | boolean | undefined>>;

/**
 * The one error class of the package: a known code, a sentence that says what happened and what to
 * do next, and the facts as fields.
 */
export class UltimaError extends Error {
  override readonly name = 'UltimaError';
  readonly code: ErrorCode;
  readonly facts: ErrorFacts;

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.facts = facts;
  }
}
