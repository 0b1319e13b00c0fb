// Numbers as people read them.
import { written } from "../strings/say";

const POWERS: readonly (readonly [number, string])[] = [
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];

/** Writes a count with three digits: "1.04 M". */
export function amount(value: number): string {
  const [unit, letter] = POWERS.find(([unit]) => value >= unit) ?? [1, ""];
  return `${written(value / unit, 3)}${letter && ` ${letter}`}`;
}

/** Writes a number of bytes: "24.6 kB". */
export function bytes(value: number): string {
  return value < 1000 ? `${value} B` : `${amount(value)}B`;
}

/** Writes a duration: "27 ms", "1.3 s". */
export function duration(milliseconds: number): string {
  return milliseconds < 1000 ? `${written(milliseconds, 2)} ms` : `${written(milliseconds / 1000, 3)} s`;
}

/** Writes a small number such as a rounding error: "6e-07", and 0 as it is. */
export function tiny(value: number): string {
  return value === 0 ? "0" : value.toExponential(0).replace(/e-(\d)$/, "e-0$1");
}
