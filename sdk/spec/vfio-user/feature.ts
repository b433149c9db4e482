import { bits, struct, u32, u64 } from '../layout.js';

/** Features of a device [vfio-user §VFIO_USER_DEVICE_FEATURE]. */
export const Feature = {
  migration: 1,
  migrationState: 2,
  dmaLoggingStart: 6,
  dmaLoggingStop: 7,
  dmaLoggingReport: 8,
} as const;

/** Payload of deviceFeature and of its reply; what the feature needs follows. */
export const DeviceFeature = struct(
  {
    title: 'vfio-user device feature',
    cite: '[vfio-user §VFIO_USER_DEVICE_FEATURE]',
    bytes: 8,
  },
  {
    argsz: u32(0, 'Largest reply payload; in the reply its bytes'),
    feature: bits(4, 15, 0, 'Which feature', Feature),
    get: bits(4, 16, 16, 'Give its data (VFIO_DEVICE_FEATURE_GET)'),
    set: bits(4, 17, 17, 'Take its data (VFIO_DEVICE_FEATURE_SET)'),
    probe: bits(4, 18, 18, 'Only say whether get or set works (VFIO_DEVICE_FEATURE_PROBE)'),
    reserved: bits(4, 31, 19, 'Reserved'),
  },
);

/** Data of the feature migration. */
export const MigrationAbility = struct(
  {
    title: 'vfio-user migration flags',
    cite: '[vfio-user §VFIO_USER_DEVICE_FEATURE]',
    bytes: 8,
  },
  {
    stopCopy: bits(0, 0, 0, 'The state can be read when stopped (VFIO_MIGRATION_STOP_COPY)'),
    peerToPeer: bits(0, 1, 1, 'VFIO_MIGRATION_P2P'),
    preCopy: bits(0, 2, 2, 'And while the device runs (VFIO_MIGRATION_PRE_COPY)'),
  },
);

export const MigrationState = {
  error: 0,
  stop: 1,
  running: 2,
  stopCopy: 3,
  resuming: 4,
  runningPeerToPeer: 5,
  preCopy: 6,
  preCopyPeerToPeer: 7,
} as const;

/** Data of the feature migrationState. */
export const MigrationStateData = struct(
  {
    title: 'vfio-user migration state',
    cite: '[vfio-user §VFIO_USER_DEVICE_FEATURE]',
    bytes: 8,
  },
  {
    state: bits(0, 31, 0, 'Where the device is or shall go (device_state)', MigrationState),
    dataFd: u32(4, 'Unused: data moves in messages (data_fd)'),
  },
);

/** Data of the feature dmaLoggingStart; ranges follow. */
export const DmaLogging = struct(
  {
    title: 'vfio-user DMA logging',
    cite: '[vfio-user §VFIO_USER_DEVICE_FEATURE]',
    bytes: 16,
  },
  {
    pageBytes: u64(0, 'Unit that is wanted; in the reply the one in use (page_size)'),
    rangeCount: u32(8, 'Ranges that follow; 0: everything (num_ranges)'),
  },
);

export const DmaLoggingRange = struct(
  {
    title: 'vfio-user DMA logging range',
    cite: '[vfio-user §VFIO_USER_DEVICE_FEATURE]',
    bytes: 16,
  },
  { address: u64(0, 'First device address (iova)'), length: u64(8, 'Bytes') },
);

/** Data of the feature dmaLoggingReport; in the reply the bitmap follows. */
export const DmaLoggingReport = struct(
  {
    title: 'vfio-user DMA logging report',
    cite: '[vfio-user §VFIO_USER_DEVICE_FEATURE]',
    bytes: 24,
  },
  {
    address: u64(0, 'First device address (iova)'),
    length: u64(8, 'Bytes'),
    pageBytes: u64(16, 'What one bit stands for, a power of two (page_size)'),
  },
);

/**
 * Payload of migrationRead and migrationWrite; data follows in the reply to a read and in a write
 * [vfio-user §VFIO_USER_MIG_DATA_READ].
 */
export const MigrationData = struct(
  {
    title: 'vfio-user migration data',
    cite: '[vfio-user §VFIO_USER_MIG_DATA_READ]',
    bytes: 8,
  },
  {
    argsz: u32(0, 'Largest reply payload; in the reply its bytes'),
    size: u32(4, 'Bytes of migration data'),
  },
);
