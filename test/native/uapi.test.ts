import * as assert from 'uvu/assert';
import * as iommufd from '../../native/uapi/iommufd.js';
import * as vfio from '../../native/uapi/vfio.js';
import { suite } from '../support/suite.js';

const uapi = suite('native/uapi');

/** Numbers as `strace` and the kernel's log print them: ';' is 3Bh, then the request. */
uapi('requests have the numbers of the kernel', () => {
  const { VfioRequest: v } = vfio;
  assert.equal(
    [v.getApiVersion, v.checkExtension, v.setIommu, v.groupGetStatus, v.groupSetContainer],
    [0x3b64, 0x3b65, 0x3b66, 0x3b67, 0x3b68],
  );
  assert.equal(
    [v.groupGetDeviceFd, v.deviceGetInfo, v.deviceGetRegionInfo, v.deviceGetIrqInfo],
    [0x3b6a, 0x3b6b, 0x3b6c, 0x3b6d],
  );
  assert.equal([v.deviceSetIrqs, v.deviceReset], [0x3b6e, 0x3b6f]);
  assert.equal([v.iommuGetInfo, v.iommuMapDma, v.iommuUnmapDma], [0x3b70, 0x3b71, 0x3b72]);
  assert.equal(
    [v.deviceBindIommufd, v.deviceAttachIommufdPt, v.deviceDetachIommufdPt],
    [0x3b76, 0x3b77, 0x3b78],
  );
  const { IommufdRequest: i } = iommufd;
  assert.equal(
    [i.destroy, i.ioasAlloc, i.ioasIovaRanges, i.ioasMap, i.ioasUnmap],
    [0x3b80, 0x3b81, 0x3b84, 0x3b85, 0x3b86],
  );
});

/** A field of a table that can be written. */
interface Field {
  set(words: Uint32Array, at: number, value: number): void;
}

/**
 * Words of a structure with these fields set, checked against words written by hand from the
 * structures of the kernel's headers.
 */
const structures: readonly {
  readonly name: string;
  readonly bytes: number;
  readonly fields: readonly (readonly [Field, number])[];
  readonly words: readonly number[];
}[] = [
  {
    name: 'iommu_ioas_alloc: size, flags, out_ioas_id',
    bytes: iommufd.IoasAlloc.layout.bytes,
    fields: [
      [iommufd.IoasAlloc.size, 12],
      [iommufd.IoasAlloc.ioasId, 7],
    ],
    words: [12, 0, 7],
  },
  {
    name: 'iommu_ioas_map: size, flags, ioas_id, reserved, user_va, length, iova',
    bytes: iommufd.IoasMap.layout.bytes,
    fields: [
      [iommufd.IoasMap.size, 40],
      [iommufd.IoasMap.isFixed, 1],
      [iommufd.IoasMap.isReadable, 1],
      [iommufd.IoasMap.ioasId, 7],
      [iommufd.IoasMap.virtualAddress, 0x7f12_3456_7000],
      [iommufd.IoasMap.length, 0x1_0000_2000],
      [iommufd.IoasMap.iova, 0x2_0001_0000],
    ],
    // FIXED_IOVA is bit 0, WRITEABLE bit 1, READABLE bit 2.
    words: [40, 0b101, 7, 0, 0x3456_7000, 0x7f12, 0x2000, 1, 0x1_0000, 2],
  },
  {
    name: 'iommu_ioas_unmap: size, ioas_id, iova, length',
    bytes: iommufd.IoasUnmap.layout.bytes,
    fields: [
      [iommufd.IoasUnmap.size, 24],
      [iommufd.IoasUnmap.ioasId, 7],
      [iommufd.IoasUnmap.iova, 0x2_0001_0000],
      [iommufd.IoasUnmap.length, 0x1_0000_2000],
    ],
    words: [24, 7, 0x1_0000, 2, 0x2000, 1],
  },
  {
    name: 'iommu_ioas_iova_ranges: size, ioas_id, num_iovas, reserved, allowed_iovas, alignment',
    bytes: iommufd.IoasIovaRanges.layout.bytes,
    fields: [
      [iommufd.IoasIovaRanges.size, 32],
      [iommufd.IoasIovaRanges.ioasId, 7],
      [iommufd.IoasIovaRanges.count, 3],
      [iommufd.IoasIovaRanges.ranges, 0x7f12_3456_7000],
      [iommufd.IoasIovaRanges.alignment, 4096],
    ],
    words: [32, 7, 3, 0, 0x3456_7000, 0x7f12, 4096, 0],
  },
  {
    name: 'iommu_destroy: size, id',
    bytes: iommufd.Destroy.layout.bytes,
    fields: [
      [iommufd.Destroy.size, 8],
      [iommufd.Destroy.id, 7],
    ],
    words: [8, 7],
  },
  {
    name: 'vfio_device_bind_iommufd: argsz, flags, iommufd, out_devid',
    bytes: vfio.BindIommufd.layout.bytes,
    fields: [
      [vfio.BindIommufd.argsz, 16],
      [vfio.BindIommufd.iommufd, 5],
    ],
    words: [16, 0, 5, 0],
  },
  {
    name: 'vfio_device_attach_iommufd_pt: argsz, flags, pt_id',
    bytes: vfio.AttachIommufd.layout.bytes,
    fields: [
      [vfio.AttachIommufd.argsz, 12],
      [vfio.AttachIommufd.pageTableId, 7],
    ],
    words: [12, 0, 7],
  },
  {
    name: 'vfio_device_detach_iommufd_pt: argsz, flags',
    bytes: vfio.DetachIommufd.layout.bytes,
    fields: [[vfio.DetachIommufd.argsz, 8]],
    words: [8, 0],
  },
];

for (const { name, bytes, fields, words } of structures) {
  uapi(`${name} lie where the kernel has them`, () => {
    assert.is(bytes, words.length * 4);
    const made = new Uint32Array(words.length);
    for (const [field, value] of fields) field.set(made, 0, value);
    assert.equal([...made], words);
  });
}

uapi.run();
