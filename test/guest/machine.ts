import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';

export interface MachineOptions {
  /** Where prepare.sh left the kernel and the initial RAM disk. */
  readonly directory: string;
  /** Words for inside.ts. */
  readonly what: readonly string[];
  readonly limitMs: number;
  readonly onLine: (line: string) => void;
  /** Instead of QEMU's controllers, a card that somebody serves over vfio-user. */
  readonly served?: ServedMachine;
  /** Instead of QEMU's controllers, targets that others serve over NVMe/TCP. */
  readonly fabric?: FabricMachine;
  /** Instead of QEMU's controllers, a disk that somebody serves over NBD. */
  readonly disk?: ServedDisk;
}

export interface ServedDisk {
  /** Socket of the server. */
  readonly socket: string;
  /** Name of the export. */
  readonly name: string;
  /** The server is killed, and another one takes its place. */
  readonly kill: () => void;
}

/** Targets for NVMe/TCP around the guest, and a way in for an initiator. */
export interface FabricMachine {
  /** At the host, as the guest reaches them. */
  readonly ports: readonly number[];
  /** Of the host; leads to 4420 of the guest. */
  readonly forwardPort: number;
  /** What the guest asks of the host. */
  readonly order: (words: string) => void;
}

export interface ServedMachine {
  /** A QEMU that has vfio-user-pci: 10.1 or newer. */
  readonly qemu: string;
  /** Socket of the card. */
  readonly socket: string;
  /** The card goes, with its server. */
  readonly vanish: () => void;
  /** Of the kernel's command line. */
  readonly kernelWords: string;
}

const diskBytes = 256 * 1024 * 1024;
/** Longer than a server takes to start on a machine that others use as well. */
const reconnectSeconds = 120;

/**
 * The controllers of the guest, each behind a root port, so that each has an IOMMU group of its
 * own.
 */
const controllers: readonly (readonly string[])[] = [
  ['nvme,id=n0,serial=plain,drive=d0,bus=rp0'],
  [
    'nvme,id=n1,serial=protected,bus=rp1',
    'nvme-ns,drive=d1,bus=n1,nsid=1,logical_block_size=4096,physical_block_size=4096,ms=8,pi=1',
  ],
  ['nvme,id=n2,serial=cmb,drive=d2,cmb_size_mb=16,bus=rp2'],
  [
    'nvme-subsys,id=s0,nqn=subsys0',
    'nvme,id=n3,serial=shared,subsys=s0,bus=rp3',
    'nvme-ns,drive=d3,bus=n3,nsid=1,shared=on',
    'nvme-ns,drive=d4,bus=n3,nsid=2,shared=on',
  ],
  [
    'nvme-subsys,id=s1,nqn=subsys1',
    'nvme,id=n4,serial=virtual,subsys=s1,bus=rp4,sriov_max_vfs=2,sriov_vq_flexible=4,' +
      'sriov_vi_flexible=2,max_ioqpairs=6,msix_qsize=8',
    'nvme-ns,drive=d5,bus=n4,nsid=1,shared=on',
  ],
  ['nvme,id=n5,serial=removable,drive=d6,bus=rp5'],
];
const diskCount = 7;

/** How a guest ended. */
export interface MachineEnd {
  /** Of `inside.ts`; -1 when it did not come to its end. */
  readonly code: number;
  /** The emulator itself crashed, which no guest may bring about. */
  readonly hasCrashed: boolean;
}

/** Boot the guest, run `inside.ts` in it, and hand over what it prints. */
export async function runMachine(options: MachineOptions): Promise<MachineEnd> {
  const { served, disk, fabric } = options;
  const program = served?.qemu ?? 'qemu-system-x86_64';
  const words = argumentsOf(options);
  const qemu = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  const timer = setTimeout(() => qemu.kill('SIGKILL'), options.limitMs);
  let exitCode = -1;
  readLines(qemu, (line) => {
    const end = /^EXIT:(\d+)/.exec(line);
    const order = /^MONITOR (.*)/.exec(line)?.[1];
    if (end !== null) exitCode = Number(end[1]);
    else if (line === 'VANISH') served?.vanish();
    else if (line === 'KILL') disk?.kill();
    else if (line.startsWith('HOST ')) fabric?.order(line.slice('HOST '.length));
    else if (order !== undefined) tellMonitor(join(options.directory, 'monitor'), order);
    else options.onLine(line);
  });
  const signal = await new Promise((resolve) => qemu.on('close', (_code, by) => resolve(by)));
  clearTimeout(timer);
  return { code: exitCode, hasCrashed: signal === 'SIGSEGV' };
}

function argumentsOf(options: MachineOptions): string[] {
  const { served, disk, fabric } = options;
  if (disk !== undefined) return diskArguments(options, disk);
  if (fabric !== undefined) return fabricArguments(options, fabric);
  return served === undefined ? machineArguments(options) : servedArguments(options, served);
}

/** What the guest asks of the hardware around it, for instance to pull a device out. */
function tellMonitor(path: string, order: string): void {
  const socket = connect(path, () => socket.write(`${order}\n`));
  socket.on('error', (error) => console.log(`the monitor does not take '${order}': ${error}`));
  // It greets, repeats what it was told, and prompts again when that is done.
  let said = '';
  socket.on('data', (bytes) => {
    said += bytes.toString();
    if (said.split('(qemu)').length > 2) socket.end();
  });
}

/** What every guest has: the kernel, the host's root, a monitor. */
function commonArguments({ directory, what }: MachineOptions, kernelWords: string): string[] {
  // At its start the kernel counts timer interrupts for ten milliseconds and panics when it finds
  // too few: on a busy host the emulator may not get the processor for that long.
  const kernelLine =
    `console=ttyS0 ${kernelWords} panic=-1 quiet tsc=unstable no_timer_check ` +
    `ultima.node=${process.execPath} ultima.what=${what.join(',')}`;
  return [
    ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '3G'],
    ...['-nodefaults', '-nographic', '-no-reboot', '-serial', 'stdio'],
    ...['-kernel', join(directory, 'vmlinuz'), '-initrd', join(directory, 'ird.gz')],
    ...['-append', kernelLine],
    ...['-fsdev', 'local,id=h,path=/,security_model=none,readonly=on,multidevs=remap'],
    ...['-device', 'virtio-9p-pci,fsdev=h,mount_tag=host'],
    ...['-monitor', `unix:${join(directory, 'monitor')},server,nowait`],
  ];
}

/** Memory that the server can map, and its card behind a root port. */
function servedArguments(options: MachineOptions, served: ServedMachine): string[] {
  const { socket, kernelWords } = served;
  const card = { driver: 'vfio-user-pci', id: 'card', bus: 'rp0' };
  return [
    ...['-M', 'q35,memory-backend=mem'],
    ...['-object', 'memory-backend-memfd,id=mem,size=3G,share=on'],
    ...commonArguments(options, kernelWords),
    ...['-device', 'pcie-root-port,id=rp0,slot=1,chassis=1'],
    ...['-device', JSON.stringify({ ...card, socket: { path: socket, type: 'unix' } })],
  ];
}

/** A disk whose requests wait when its server is gone, and are sent again to the next one. */
function diskArguments(options: MachineOptions, { socket, name }: ServedDisk): string[] {
  const server = { type: 'unix', path: socket };
  const nbd = { driver: 'nbd', 'node-name': 'disk', server, export: name };
  return [
    ...['-M', 'q35'],
    ...commonArguments(options, ''),
    ...['-blockdev', JSON.stringify({ ...nbd, 'reconnect-delay': reconnectSeconds })],
    ...['-device', 'virtio-blk-pci,drive=disk,serial=database'],
  ];
}

/** No disk at all, and a network. */
function fabricArguments(options: MachineOptions, fabric: FabricMachine): string[] {
  const forward = `hostfwd=tcp:127.0.0.1:${fabric.forwardPort}-10.0.2.15:4420`;
  return [
    ...['-M', 'q35'],
    ...commonArguments(options, `ultima.ports=${fabric.ports.join(',')}`),
    ...['-netdev', `user,id=net0,${forward}`, '-device', 'virtio-net-pci,netdev=net0'],
  ];
}

function machineArguments(options: MachineOptions): string[] {
  const { directory } = options;
  const args = [
    ...['-M', 'q35,kernel-irqchip=split'],
    ...commonArguments(options, 'intel_iommu=on iommu=pt'),
    ...['-device', 'intel-iommu,intremap=on,caching-mode=on'],
    ...['-netdev', 'user,id=net0,restrict=on', '-device', 'virtio-net-pci,netdev=net0'],
  ];
  for (let i = 0; i < diskCount; i++) {
    const path = join(directory, `disk${i}.img`);
    const fd = openSync(path, 'w');
    ftruncateSync(fd, diskBytes);
    closeSync(fd);
    args.push('-drive', `file=${path},if=none,id=d${i},format=raw`);
  }
  controllers.forEach((devices, i) => {
    args.push('-device', `pcie-root-port,id=rp${i},slot=${i + 1},chassis=${i + 1}`);
    for (const device of devices) args.push('-device', device);
  });
  return args;
}

/** Serial lines, without the carriage returns and escape sequences of a console. */
function readLines(child: ChildProcess, onLine: (line: string) => void): void {
  for (const stream of [child.stdout, child.stderr]) {
    let rest = '';
    stream?.setEncoding('utf8');
    stream?.on('data', (chunk: string) => {
      const lines = (rest + chunk).split(/\r*\n/);
      rest = lines.pop() ?? '';
      // biome-ignore lint/suspicious/noControlCharactersInRegex: terminals send escape sequences
      for (const line of lines) onLine(line.replace(/\u001b\[[0-9;?]*[A-Za-z]|\u001bc/g, ''));
    });
  }
}
