/** Where QEMU 7.2's controller does not do what the standard says, and the clause that decides. */
export interface Deviation {
  /** Statements of the conformance suite that do not hold, by their titles. */
  readonly statements: readonly string[];
  /** What QEMU does. */
  readonly does: string;
  readonly clause: string;
}

export const qemuDeviations: readonly Deviation[] = [
  {
    statements: ['an SGL longer than the data is refused'],
    does: 'takes a longer SGL although SGLS does not announce it (bit 18 is 0)',
    clause: '[NVMe-2.0 §5.17.2.1 SGLS]',
  },
  {
    statements: [
      'an unknown SGL descriptor type is refused',
      'a keyed data block is refused where keys are not supported',
    ],
    does: 'answers Invalid SGL Segment Descriptor, which is about segments, not types',
    clause: '[NVMe-2.0 §3.3.3.2.1 SGL Descriptor Type Invalid]',
  },
  {
    statements: ['a reserved SGL descriptor subtype is refused'],
    does: 'does not look at the subtype',
    clause: '[NVMe-2.0 §4.1.2 SGL Descriptor Sub Type]',
  },
  {
    statements: ['a source range above MSSRL is refused', 'ranges above MCL together are refused'],
    does: 'fails a copy that is too large with Internal Error, or carries it out',
    clause: '[NVM-1.0 §3.2.2 Copy: Command Size Limit Exceeded]',
  },
  {
    statements: [
      'a copy to beyond the end is out of range',
      'a copy from beyond the end is out of range',
    ],
    does: 'ends with Internal Error instead of LBA Out of Range',
    clause: '[NVMe-2.0 §3.3.3.2.1 LBA Out of Range]',
  },
  {
    statements: [
      'asynchronous event configuration return to their default with a controller reset',
    ],
    does: 'keeps the configuration of asynchronous events over a controller reset',
    clause: '[NVMe-2.0 §? Features and resets]',
  },
  {
    statements: ['reserved values of Select are refused'],
    does: 'takes the reserved values of Select',
    clause: '[NVMe-2.0 §5.15 Get Features]',
  },
  {
    statements: ['unallocated capacity is part of the total capacity'],
    does: 'gives an unallocated capacity and a total capacity of 0',
    clause: '[NVMe-2.0 §5.17.2.1 TNVMCAP, UNVMCAP]',
  },
  {
    statements: [
      'the broadcast identifier reads capabilities common to all namespaces',
      'namespace management is a known opcode exactly where OACS announces it',
    ],
    does: 'announces namespace management in OACS and has only attachment',
    clause: '[NVMe-2.0 §5.17.2.1 OACS, §5.23 Namespace Management]',
  },
  {
    statements: ['virtualization management is a known opcode exactly where OACS announces it'],
    does: 'knows Virtualization Management without announcing it',
    clause: '[NVMe-2.0 §5.17.2.1 OACS]',
  },
  {
    statements: ['a namespace has an EUI64, an NGUID or a UUID'],
    does: 'gives a namespace no identifier unless its command line has one',
    clause: '[NVMe-2.0 §4.5.1 Unique Identifier]',
  },
  {
    statements: ['the running firmware slot exists and holds the revision'],
    does: 'names another revision in the log page than in Identify',
    clause: '[NVMe-2.0 §5.16.1.4 Firmware Slot Information]',
  },
  {
    statements: ['a reserved secure erase setting is refused'],
    does: 'takes the reserved values of Secure Erase Settings',
    clause: '[NVMe-2.0 §5.14 Format NVM]',
  },
  {
    statements: ['with type 2, the initial reference tag may be any number'],
    does: 'does not let the 32-bit reference tag wrap inside a command',
    clause: '[NVM-1.0 §5.2 End-to-end Data Protection]',
  },
  {
    statements: [
      'the admin completion queue cannot be deleted',
      'a completion queue that does not exist cannot be deleted',
      'a completion queue out of range cannot be deleted',
    ],
    does: 'answers Completion Queue Invalid, which belongs to the creation of submission queues',
    clause: '[NVMe-2.0 §5.6 Delete I/O Completion Queue]',
  },
];

const known = new Map(
  qemuDeviations.flatMap((deviation) =>
    deviation.statements.map((title): [string, Deviation] => [title, deviation]),
  ),
);

/** The deviation behind a statement that does not hold, if it is one of QEMU's. */
export function deviationOf(title: string): Deviation | undefined {
  return known.get(title);
}
