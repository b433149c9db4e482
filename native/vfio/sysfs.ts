import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** The kernel's view of PCI functions. Read anew on every call: nothing here remembers. */
export class Sysfs {
  readonly root: string;

  constructor(root = '/sys') {
    this.root = root;
  }

  functionPath(address: string): string {
    return join(this.root, 'bus/pci/devices', address);
  }

  hasFunction(address: string): boolean {
    return existsSync(this.functionPath(address));
  }

  /** Text of an attribute, without the final newline; null when it is not there. */
  attribute(address: string, name: string): string | null {
    return readText(join(this.functionPath(address), name));
  }

  /** Name of the driver that holds the function, null when none does. */
  driver(address: string): string | null {
    return linkName(join(this.functionPath(address), 'driver'));
  }

  /** IOMMU group number, null without an IOMMU. */
  group(address: string): string | null {
    return linkName(join(this.functionPath(address), 'iommu_group'));
  }

  groupMembers(group: string): string[] {
    return list(join(this.root, 'kernel/iommu_groups', group, 'devices'));
  }

  /** 'vfio3' when the function has a character device of its own, for iommufd. */
  vfioDevice(address: string): string | null {
    return list(join(this.functionPath(address), 'vfio-dev'))[0] ?? null;
  }

  /** Block devices of an NVMe function that the kernel's driver holds. */
  blockDevices(address: string): string[] {
    const controllers = list(join(this.functionPath(address), 'nvme'));
    return controllers.flatMap((controller) =>
      list(join(this.functionPath(address), 'nvme', controller)).filter((name) =>
        /^nvme\d+(c\d+)?n\d+$/.test(name),
      ),
    );
  }

  write(path: string, value: string): void {
    writeFileSync(join(this.root, path), value);
  }
}

export function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trimEnd();
  } catch {
    return null;
  }
}

export function list(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch {
    return [];
  }
}

function linkName(path: string): string | null {
  try {
    return basename(readlinkSync(path));
  } catch {
    return null;
  }
}
