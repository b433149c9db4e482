/** What both processes of the benchmark have to know. */
export const benchNqn = 'nqn.2026-11.io.ultima:bench';
export const blockBytes = 4096;
export const deviceBytes = 1024 * 1024 * 1024;
/** A read as it travels: the command's capsule, and its data in one PDU. */
export const askBytes = 72;
export const answerBytes = 24 + blockBytes;
