import { DmaMap, DmaUnmap } from '../../sdk/spec/vfio-user/dma.js';
import { Errno } from '../../sdk/spec/vfio-user/header.js';
import { bytesOf, done, echoOf, type Handler } from './answers.js';

/** [vfio-user §VFIO_USER_DMA_MAP] */
export const dmaMap: Handler = (message, place) => {
  const { words, fds } = message;
  if (DmaMap.argsz.get(words, 0) < DmaMap.layout.bytes || fds.length > 1) return Errno.EINVAL;
  const fields = [DmaMap.offset, DmaMap.address, DmaMap.length];
  if (!fields.every((field) => field.isExact(words, 0))) return Errno.EINVAL;
  const errno = place.served.memory.map({
    address: DmaMap.address.get(words, 0),
    length: DmaMap.length.get(words, 0),
    isReadable: DmaMap.isReadable.get(words, 0) === 1,
    isWritable: DmaMap.isWritable.get(words, 0) === 1,
    fd: fds[0] ?? -1,
    offset: DmaMap.offset.get(words, 0),
  });
  return errno === 0 ? done : errno;
};

/** [vfio-user §VFIO_USER_DMA_UNMAP] */
export const dmaUnmap: Handler = (message, place) => {
  const { words } = message;
  const { memory } = place.served;
  if (DmaUnmap.argsz.get(words, 0) < DmaUnmap.layout.bytes) return Errno.EINVAL;
  if (DmaUnmap.wantsBitmap.get(words, 0) === 1) return Errno.EOPNOTSUPP;
  if (DmaUnmap.reserved.get(words, 0) !== 0) return Errno.EINVAL;
  if (!DmaUnmap.address.isExact(words, 0) || !DmaUnmap.length.isExact(words, 0)) {
    return Errno.EINVAL;
  }
  const address = DmaUnmap.address.get(words, 0);
  const length = DmaUnmap.length.get(words, 0);
  const answer = { payload: bytesOf(echoOf(message, DmaUnmap)) };
  if (DmaUnmap.isAll.get(words, 0) === 1) {
    if (address !== 0 || length !== 0) return Errno.EINVAL;
    memory.unmapAll();
    return answer;
  }
  const errno = memory.unmap(address, length);
  return errno === 0 ? answer : errno;
};
