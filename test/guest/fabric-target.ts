import { createInterface } from 'node:readline';
import { MonotonicClock } from '../../native/vfio/clock.js';
import { FileDevice } from '../../sdk/block/file.js';
import { NvmeTcpTarget } from '../../sdk/fabric/target.js';

/**
 * One of two processes that serve the same file as the same namespace: FILE PORT FIRST-ID STATE.
 * It takes orders, one a line: 'ana STATE', 'drop'.
 */
const [path, port, firstId, state] = process.argv.slice(2);
if (path === undefined) throw new Error('FILE PORT FIRST-ID STATE');
/** Connections come from QEMU's network, which reaches us here. */
const nqn = 'nqn.2026-11.io.ultima:guest';
const first = Number(firstId);
const device = new FileDevice({ path, clock: new MonotonicClock(), blockBytes: 4096 });
const target = await NvmeTcpTarget.start({
  listen: [`127.0.0.1:${port}`],
  advertise: [`10.0.2.2:${port}`],
  subsystems: [
    {
      nqn,
      serial: 'GUEST',
      controllerIds: { first, last: first + 99 },
      namespaces: [{ nsid: 1, device, nguid: new Uint8Array(16).fill(0x5a) }],
    },
  ],
});
const subsystem = target.subsystem(nqn);
subsystem.setAnaState(1, Number(state));
console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const [order, value] = line.split(' ');
  if (order === 'ana') subsystem.setAnaState(1, Number(value));
  else if (order === 'drop') target.dropConnections();
}
await target.close();
device.close();
