import type { Core } from './core.js';
export class Admin {
  protected readonly core: Core;
  constructor(core: Core) {
    this.core = core;
  }
}
