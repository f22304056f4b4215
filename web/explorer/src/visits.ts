/** Whether somebody was here before; a page in a sandboxed frame may not keep it. */
const NAME = "toured";

export function wasToured(): boolean {
  try {
    return localStorage.getItem(NAME) !== null;
  } catch {
    return true;
  }
}

export function rememberTour(): void {
  try {
    localStorage.setItem(NAME, "yes");
  } catch {
    // The next visit begins with the tour again.
  }
}
