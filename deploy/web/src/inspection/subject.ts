// What is looked into: a model, what it read and what it wrote.
import type { PromptField } from "../api/progress";
import { Axis, type Inspection, type Piece, type Sequences } from "../generated/protos/seqstream/v1/inspection_pb";
import { visible } from "../view/dom";

export interface Subject {
  /** As "name@version". */
  readonly model: string;
  readonly inspection: Inspection;
  readonly prompt: PromptField;
  /** The tokens that the model wrote, as many as may be looked at. */
  readonly tokenIds: readonly number[];
  /** Places that the encoder reads, 0 without one, and places that the decoder reads. */
  readonly source: number;
  readonly read: number;
}

/** The fields of a request that name the subject. */
interface Asked {
  model: string;
  prompt: PromptField;
  continuation: { case: "continuationTokenIds"; value: { ids: number[] } };
}

/** Returns what to ask for the subject. */
export function asked({ model, prompt, tokenIds }: Subject): Asked {
  return { model, prompt, continuation: { case: "continuationTokenIds", value: { ids: [...tokenIds] } } };
}

/** Returns the labels of an axis, one for every place. */
export function labels(axis: Axis, sequences: Sequences | undefined): string[] {
  if (!sequences) return [];
  const pieces = { [Axis.UNSPECIFIED]: [], [Axis.SOURCE]: sequences.source, [Axis.READ]: sequences.read, [Axis.WRITTEN]: sequences.written };
  return pieces[axis].map(label);
}

// A token that ends within a character has no text of its own.
function label({ text, symbol, special }: Piece): string {
  if (special) return symbol.replace(/^<\|?(.*?)\|?>$/, "⟨$1⟩");
  return text === "" ? "·" : visible(text);
}
