/** A process of its own, for cases in which a process has few rights or dies. */
import { openFunction } from '../../native/index.js';
import { NvmeController } from '../../sdk/nvme/controller.js';
import { address } from './case.js';

const [what, size] = process.argv.slice(2);

try {
  if (what === 'open') await open(Number(size) * 1024 * 1024);
  if (what === 'write') await writeForEver();
} catch (error) {
  const code = error instanceof Error && 'code' in error ? `${String(error.code)} ` : '';
  console.error(code + (error instanceof Error ? error.message : String(error)));
  process.exitCode = 1;
}

async function open(arenaBytes: number): Promise<void> {
  const fn = await openFunction(address.plain, { arenaBytes });
  const controller = await NvmeController.open(fn);
  console.log(`opened ${controller.state}`);
  await controller.close();
}

async function writeForEver(): Promise<void> {
  const controller = await NvmeController.open(await openFunction(address.plain));
  const namespace = await controller.namespace(1);
  const data = new Uint8Array(8 * namespace.blockBytes);
  for (let i = 0; ; i++) {
    await Promise.all(
      Array.from({ length: 16 }, (_, j) => namespace.write(((i * 16 + j) % 1000) * 8, data)),
    );
    if (i === 3) console.log('writing');
  }
}
