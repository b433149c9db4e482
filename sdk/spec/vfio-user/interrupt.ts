import { bits, struct, u32 } from '../layout.js';

/** Kinds of interrupts of a PCI device, by index [Linux-UAPI vfio.h]. */
export const Irq = { intx: 0, msi: 1, msix: 2, error: 3, request: 4 } as const;
export const irqCount = 5;

/** Payload of deviceGetIrqInfo and of its reply [vfio-user §VFIO_USER_DEVICE_GET_IRQ_INFO]. */
export const IrqInfo = struct(
  {
    title: 'vfio-user interrupt info',
    cite: '[vfio-user §VFIO_USER_DEVICE_GET_IRQ_INFO]',
    bytes: 16,
  },
  {
    argsz: u32(0, 'Largest reply payload; in the reply the bytes of a whole one'),
    hasEventfd: bits(4, 0, 0, 'Eventfds can be connected (VFIO_IRQ_INFO_EVENTFD)'),
    isMaskable: bits(4, 1, 1, 'Mask and unmask work (VFIO_IRQ_INFO_MASKABLE)'),
    isAutomasked: bits(4, 2, 2, 'Masks itself when it fires (VFIO_IRQ_INFO_AUTOMASKED)'),
    cannotResize: bits(4, 3, 3, 'All vectors at once or none (VFIO_IRQ_INFO_NORESIZE)'),
    index: u32(8, 'Which kind'),
    count: u32(12, 'Vectors of this kind'),
  },
);

/**
 * Payload of deviceSetIrqs; the reply has none. `count` bytes follow with hasBooleans, eventfds
 * come along with hasEventfds [vfio-user §VFIO_USER_DEVICE_SET_IRQS].
 */
export const IrqSet = struct(
  {
    title: 'vfio-user interrupt set',
    cite: '[vfio-user §VFIO_USER_DEVICE_SET_IRQS]',
    bytes: 20,
  },
  {
    argsz: u32(0, 'Size of this structure with the data'),
    hasNone: bits(4, 0, 0, 'The action is for all of the range (VFIO_IRQ_SET_DATA_NONE)'),
    hasBooleans: bits(4, 1, 1, 'A byte per vector says whether (VFIO_IRQ_SET_DATA_BOOL)'),
    hasEventfds: bits(4, 2, 2, 'Connect descriptors (VFIO_IRQ_SET_DATA_EVENTFD)'),
    mask: bits(4, 3, 3, 'The action: mask (VFIO_IRQ_SET_ACTION_MASK)'),
    unmask: bits(4, 4, 4, 'The action: unmask (VFIO_IRQ_SET_ACTION_UNMASK)'),
    trigger: bits(4, 5, 5, 'The action: fire (VFIO_IRQ_SET_ACTION_TRIGGER)'),
    reserved: bits(4, 31, 6, 'Reserved'),
    index: u32(8, 'Which kind of interrupt'),
    start: u32(12, 'First vector'),
    count: u32(16, 'Vectors; 0 with hasNone and trigger turns the kind off'),
  },
);
