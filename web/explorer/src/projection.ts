/** From space to the paper: parallel rays, so that a drawing seen from straight ahead is itself. */
export type Place = [right: number, up: number, away: number];
export type Point = [x: number, y: number];

export interface Camera {
  /** Degrees that it stands to the side, and above. At 90 above it looks straight down. */
  aside: number;
  above: number;
}

/** Where the middle of space is on the paper. */
export const MIDDLE: Point = [320, 172];

export function project([right, up, away]: Place, { aside, above }: Camera): Point {
  const [turn, tilt] = [aside, above].map((degrees) => (degrees * Math.PI) / 180);
  const behind = away * Math.cos(turn) - right * Math.sin(turn);
  return [MIDDLE[0] + right * Math.cos(turn) + away * Math.sin(turn), MIDDLE[1] - up * Math.cos(tilt) - behind * Math.sin(tilt)];
}

/** A point of the drawing on a sheet that is hinged at the height of the middle: 0 degrees lie flat, 90 stand upright. */
export function onSheet([x, y]: number[], degrees: number): Place {
  const out = MIDDLE[1] - y;
  const angle = (degrees * Math.PI) / 180;
  return [x - MIDDLE[0], out * Math.sin(angle), out * Math.cos(angle)];
}
