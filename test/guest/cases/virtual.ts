import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { Sysfs } from '../../../native/vfio/sysfs.js';
import { address, type GuestCase } from '../case.js';
import { withController, writeAndReadBack } from './function.js';

const sysfs = new Sysfs();
const main = fileURLToPath(new URL('../../../sdk/cli/main.js', import.meta.url));
/** The first virtual function of the controller that has some. */
const virtualFunction = address.virtual.replace(/0$/, '1');

/** Virtual functions of SR-IOV, and the command that binds for as long as another one runs. */
export const virtualCases: readonly GuestCase[] = [
  {
    title: 'a virtual function with resources works as a controller of its own',
    run: async () => {
      const primary = await controllerName();
      const set = (resource: number, count: number): void => manage(primary, 8, resource, count);
      const path = `${sysfs.functionPath(address.virtual)}/sriov_numvfs`;
      // Resources are assigned while the secondary controller is offline [NVMe-2.0 §8.26].
      manage(primary, 7);
      set(0, 2);
      set(1, 1);
      writeFileSync(`${sysfs.functionPath(address.virtual)}/sriov_drivers_autoprobe`, '0');
      writeFileSync(path, '1');
      try {
        assert.ok(existsSync(sysfs.functionPath(virtualFunction)), 'the function appears');
        manage(primary, 9);
        await withController(virtualFunction, writeAndReadBack);
      } finally {
        writeFileSync(path, '0');
      }
    },
  },
  {
    title: 'a controller is given back when the command that it was bound for ends',
    run: () => {
      const words = ['bind', address.cmb, '--', process.execPath, main];
      const text = execFileSync(process.execPath, [
        main,
        ...words,
        'id-ctrl',
        `vfio:${address.cmb}`,
      ]).toString();
      assert.match(text, /^mn +: QEMU NVMe Ctrl/m);
      assert.is(sysfs.driver(address.cmb), 'nvme');
      return Promise.resolve();
    },
  },
];

/** nvme4: how the kernel calls the primary controller. */
async function controllerName(): Promise<string> {
  for (let tries = 0; tries < 200; tries++) {
    const path = `${sysfs.functionPath(address.virtual)}/nvme`;
    if (existsSync(path)) return execFileSync('ls', [path]).toString().trim();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("the kernel's driver does not hold the primary controller");
}

/** Virtualization Management of secondary controller 1. */
function manage(primary: string, action: number, resource = 0, count = 0): void {
  execFileSync('nvme', [
    ...['virt-mgmt', `/dev/${primary}`, '--cntlid=1', `--act=${action}`],
    ...[`--rt=${resource}`, `--nr=${count}`],
  ]);
}
