import { Status } from '../../../sdk/spec/nvme/status.js';
import { blankPage, maskOf, type PagePool } from '../../store/page-pool.js';
import type { Command } from '../command.js';
import type { CommandServices } from '../executor.js';
import { type Namespace, protectionInformationBytes } from '../namespace.js';
import type { Protection } from './protection.js';
import type { Work } from './work.js';

const { lbaOutOfRange, invalidField } = Status;

/** Where the metadata of a transfer goes. */
export const MetadataMode = {
  /** Nowhere: there is none, or the controller makes and removes all of it. */
  none: 0,
  /** Through MPTR. */
  separate: 1,
  /** Behind each block in the data buffer. */
  extended: 2,
} as const;

const { none, separate, extended } = MetadataMode;

/** Why blocks were not taken from the host, 0 when they were. */
export class BlockTransfer {
  private readonly work: Work;
  private readonly services: CommandServices;

  constructor(work: Work) {
    this.work = work;
    this.services = work.services;
  }

  /** @returns 0 or LBA Out of Range; never adds what could be rounded */
  checkRange(namespace: Namespace, lba: number, count: number): number {
    return lba > namespace.sizeBlocks - count ? lbaOutOfRange : 0;
  }

  modeOf(namespace: Namespace, isMade: boolean): number {
    const { metadataBytes } = namespace;
    if (metadataBytes === 0) return none;
    if (isMade && metadataBytes === protectionInformationBytes) return none;
    return namespace.isMetadataExtended ? extended : separate;
  }

  /** Bytes that a transfer has in the data buffer. */
  dataLength(namespace: Namespace, count: number, mode: number): number {
    const { dataBytes, metadataBytes } = namespace;
    return count * (mode === extended ? dataBytes + metadataBytes : dataBytes);
  }

  /** Check MDTS, then find data and metadata buffers. @returns 0 or a status */
  map(command: Command, namespace: Namespace, count: number, mode: number): number {
    const length = this.dataLength(namespace, count, mode);
    if (length > this.work.controller.maxTransferBytes) return invalidField;
    const status = this.services.mapData(command, length);
    if (status !== 0 || mode !== separate) return status;
    return this.services.mapMetadata(command, count * namespace.metadataBytes);
  }

  /**
   * Send blocks of one page to the host.
   *
   * @param first  block in the page
   * @param index  block in the transfer
   */
  send(
    command: Command,
    namespace: Namespace,
    content: number,
    first: number,
    run: number,
    index: number,
    mode: number,
  ): number {
    const { pool } = namespace.medium;
    const { dataBytes, metadataBytes } = namespace;
    const data = pool.dataOf(content);
    if (mode === extended) {
      return this.sendExtended(command, namespace, content, first, run, index);
    }
    const status = this.services.toHost(
      command,
      data,
      first * dataBytes,
      index * dataBytes,
      run * dataBytes,
    );
    if (status !== 0 || mode === none) return status;
    return this.services.metadataToHost(
      command,
      pool.metadataOf(content),
      first * metadataBytes,
      index * metadataBytes,
      run * metadataBytes,
    );
  }

  /**
   * Fetch the blocks of a command into a new chain that the command holds. With `protection`, the
   * information of each block is made or checked.
   *
   * @returns 0 or the status to fail with; the command holds what was fetched so far in any case
   */
  fetch(
    command: Command,
    namespace: Namespace,
    lba: number,
    count: number,
    mode: number,
    protection: Protection | null,
  ): number {
    const { pool } = namespace.medium;
    const perPage = pool.blocksPerPage;
    let first = lba - Math.floor(lba / perPage) * perPage;
    let last = blankPage;
    for (let index = 0; index < count; ) {
      const run = Math.min(count - index, perPage - first);
      const content = pool.take();
      if (last === blankPage) this.work.holdChain(command, content);
      else pool.next[last] = content;
      last = content;
      pool.written[content] = maskOf(first, run);
      let status = this.receive(command, namespace, content, first, run, index, mode);
      if (status === 0 && protection !== null) {
        status = this.protect(namespace, protection, content, first, run, index);
      }
      if (status !== 0) return status;
      index += run;
      first = 0;
    }
    return 0;
  }

  private receive(
    command: Command,
    namespace: Namespace,
    content: number,
    first: number,
    run: number,
    index: number,
    mode: number,
  ): number {
    const { pool } = namespace.medium;
    const { dataBytes, metadataBytes } = namespace;
    if (mode === extended) {
      return this.receiveExtended(command, namespace, content, first, run, index);
    }
    const status = this.services.fromHost(
      command,
      pool.changeData(content),
      first * dataBytes,
      index * dataBytes,
      run * dataBytes,
    );
    if (status !== 0 || mode === none) {
      if (metadataBytes > 0 && mode === none) clearMetadata(pool, content);
      return status;
    }
    return this.services.metadataFromHost(
      command,
      pool.changeMetadata(content),
      first * metadataBytes,
      index * metadataBytes,
      run * metadataBytes,
    );
  }

  /** Make or check the information of blocks that a host writes. */
  private protect(
    namespace: Namespace,
    protection: Protection,
    content: number,
    first: number,
    run: number,
    index: number,
  ): number {
    for (let i = 0; i < run; i++) {
      if (protection.isMade) {
        protection.make(namespace, content, first + i, index + i);
      } else {
        const status = protection.check(namespace, content, first + i, index + i);
        if (status !== 0) return status;
      }
    }
    return 0;
  }

  private sendExtended(
    command: Command,
    namespace: Namespace,
    content: number,
    first: number,
    run: number,
    index: number,
  ): number {
    const { pool } = namespace.medium;
    const { dataBytes, metadataBytes } = namespace;
    const data = pool.dataOf(content);
    const metadata = pool.metadataOf(content);
    const { services } = this;
    for (let i = 0; i < run; i++) {
      const block = first + i;
      const at = (index + i) * (dataBytes + metadataBytes);
      let status = services.toHost(command, data, block * dataBytes, at, dataBytes);
      if (status !== 0) return status;
      status = services.toHost(
        command,
        metadata,
        block * metadataBytes,
        at + dataBytes,
        metadataBytes,
      );
      if (status !== 0) return status;
    }
    return 0;
  }

  private receiveExtended(
    command: Command,
    namespace: Namespace,
    content: number,
    first: number,
    run: number,
    index: number,
  ): number {
    const { pool } = namespace.medium;
    const { dataBytes, metadataBytes } = namespace;
    const data = pool.changeData(content);
    const metadata = pool.changeMetadata(content);
    const { services } = this;
    for (let i = 0; i < run; i++) {
      const block = first + i;
      const at = (index + i) * (dataBytes + metadataBytes);
      let status = services.fromHost(command, data, block * dataBytes, at, dataBytes);
      if (status !== 0) return status;
      status = services.fromHost(
        command,
        metadata,
        block * metadataBytes,
        at + dataBytes,
        metadataBytes,
      );
      if (status !== 0) return status;
    }
    return 0;
  }
}

function clearMetadata(pool: PagePool, content: number): void {
  pool.changeMetadata(content).fill(0);
}
