/** Why a folder cannot be opened, in the language that the page has. */
import type { Notice } from "./notices";
import { ENGLISH } from "./english";

export class FolderError extends Error {
  constructor(readonly told: Notice) {
    super(told(ENGLISH));
  }
}
