// What each number of a request may be, as generation.proto says it beside the field. A test compares the two.
import type { Key } from "../strings/say";

export type Name =
  | "temperature"
  | "top_k"
  | "top_p"
  | "min_p"
  | "typical_p"
  | "repetition_penalty"
  | "presence_penalty"
  | "frequency_penalty"
  | "max_new_tokens"
  | "min_new_tokens";

export interface Limits {
  /** The field's path in the request, as errors name it. */
  readonly path: string;
  readonly label: Key;
  /** The limits and what an absent field means, for people. */
  readonly allowed: string;
  readonly preset: string;
  readonly whole: boolean;
  readonly least: number;
  readonly most?: number;
}

interface Parameter extends Limits {
  readonly name: Name;
  /** Whether it is among those that few change. */
  readonly rare: boolean;
}

function parameter(message: "sampling" | "stop", name: Name, limits: Omit<Limits, "path" | "label">, rare = false): Parameter {
  return { name, path: `${message}.${name}`, label: `parameters.${name}`, rare, ...limits };
}

const real = { whole: false };
const count = { whole: true };

export const PARAMETERS: readonly Parameter[] = [
  parameter("sampling", "temperature", { ...real, least: 0, most: 100, allowed: "0 – 100", preset: "1" }),
  parameter("stop", "max_new_tokens", { ...count, least: 1, allowed: "≥ 1", preset: "256" }),
  parameter("sampling", "top_k", { ...count, least: 0, allowed: "≥ 0", preset: "0" }),
  parameter("sampling", "top_p", { ...real, least: 0, most: 1, allowed: "> 0 – 1", preset: "1" }),
  parameter("sampling", "min_p", { ...real, least: 0, most: 1, allowed: "0 – 1", preset: "0" }, true),
  parameter("sampling", "typical_p", { ...real, least: 0, most: 1, allowed: "> 0 – 1", preset: "1" }, true),
  parameter("sampling", "repetition_penalty", { ...real, least: 0, most: 100, allowed: "> 0 – 100", preset: "1" }, true),
  parameter("sampling", "presence_penalty", { ...real, least: -100, most: 100, allowed: "−100 – 100", preset: "0" }, true),
  parameter("sampling", "frequency_penalty", { ...real, least: -100, most: 100, allowed: "−100 – 100", preset: "0" }, true),
  parameter("stop", "min_new_tokens", { ...count, least: 0, allowed: "≥ 0", preset: "0" }, true),
];

export const SEED: Limits = {
  path: "seed",
  label: "parameters.seed",
  allowed: "≥ 0",
  preset: "",
  whole: true,
  least: 0,
};
