/** Kinds of asynchronous events, and what a notice is about [NVMe-2.0 §5.2 AER]. */
export const EventType = { error: 0, health: 1, notice: 2, ioCommandSet: 6 } as const;

/** Of events about I/O commands: the reservation log has something [NVMe-2.0 §5.2 AER]. */
export const reservationInfo = 0x00;

export const NoticeInfo = {
  namespaceChanged: 0x00,
  anaChanged: 0x03,
  discoveryChanged: 0xf0,
} as const;

/** RGO of an ANA log: the groups without their namespaces [NVMe-2.0 §5.16.1.13 LSP]. */
export const anaGroupsOnly = 1;
