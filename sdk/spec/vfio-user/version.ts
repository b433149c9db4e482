import { bits, struct } from '../layout.js';

/**
 * Payload of version and of its reply [vfio-user §VFIO_USER_VERSION]. Optional JSON follows as
 * UTF-8 with a terminating NUL: an object with `capabilities`.
 */
export const VersionMessage = struct(
  { title: 'vfio-user version', cite: '[vfio-user §VFIO_USER_VERSION]', bytes: 4 },
  {
    major: bits(0, 15, 0, 'A change of it breaks the protocol'),
    minor: bits(0, 31, 16, 'The reply says at most what was proposed'),
  },
);

/** What we speak: all minor versions up to this one. */
export const protocolVersion = { major: 0, minor: 3 } as const;

/** Keys of `capabilities` in the JSON of a version message. */
export const CapabilityKey = {
  maxMessageFds: 'max_msg_fds',
  maxTransferBytes: 'max_data_xfer_size',
  maxDmaMaps: 'max_dma_maps',
  pageSizes: 'pgsizes',
  twinSocket: 'twin_socket',
  twinSocketSupported: 'supported',
  twinSocketFdIndex: 'fd_index',
  writeMultiple: 'write_multiple',
} as const;

/** What a peer means that leaves a capability out. */
export const capabilityDefault = {
  maxMessageFds: 1,
  maxTransferBytes: 1024 * 1024,
  maxDmaMaps: 65_535,
  pageSizes: 4096,
} as const;
