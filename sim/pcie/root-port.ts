import { Direction, type DirectionOptions } from './direction.js';

/**
 * A port of the root complex that several cards share through a switch: what all of them move
 * passes its two directions, which may be slower than the links of the cards together.
 */
export class RootPort {
  readonly up: Direction;
  readonly down: Direction;

  /** As it was made: a checkpoint makes another one like it. */
  readonly options: DirectionOptions;

  constructor(options: DirectionOptions) {
    this.options = options;
    this.up = new Direction(options);
    this.down = new Direction(options);
  }
}
