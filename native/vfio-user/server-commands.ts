/** An error number, or 0 and the payload of the reply in one or several pieces. */
export interface ServerAnswer {
  readonly errno: number;
  readonly pieces: readonly Uint8Array[];
}

/** Who answers what a server asks: it reads and writes memory that it could not map. */
export interface ServerCommands {
  /** @param payload of the command, of any length; a view until the answer has been sent */
  obey(command: number, payload: Uint8Array): ServerAnswer;
}
