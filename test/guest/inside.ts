import { loadAddon } from '../../native/load.js';
import { bindToVfio, giveBack } from '../../native/vfio/bind.js';
import { openVfio } from '../../native/vfio/function.js';
import { Sysfs } from '../../native/vfio/sysfs.js';

const { kernel, unavailableReason } = loadAddon();
if (kernel === null) throw new Error(unavailableReason);
const sysfs = new Sysfs();
for (const address of [
  '0000:01:00.0',
  '0000:02:00.0',
  '0000:03:00.0',
  '0000:04:00.0',
  '0000:05:00.0',
]) {
  const before = bindToVfio(sysfs, address);
  const fn = await openVfio(address, { kernel });
  const bar = fn.bar(0);
  console.log(
    `PASS ${address} was ${before}, CAP ${bar.read32(4).toString(16)}${bar.read32(0).toString(16)}` +
      ` VS ${bar.read32(8).toString(16)} BAR ${bar.length} vectors ${fn.interrupts.vectorCount}`,
  );
  const region = fn.dma.allocate(8192);
  console.log(`PASS iova ${region.iova.toString(16)}`);
  fn.interrupts.enable(2);
  await fn.close();
  giveBack(sysfs, address, before);
  console.log(`PASS back with ${sysfs.driver(address)}`);
}
