// The parameters of a generation as fields of a form. Limits and defaults are those of generation.proto, shown beside each;
// the server has the last word on them.
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Violation } from "../api/failure";
import type { Request } from "../api/progress";
import type { SamplingParametersSchema, StopConditionsSchema } from "../generated/protos/seqstream/v1/generation_pb";
import { say } from "../strings/say";
import { el } from "./dom";
import { Field } from "./field";
import { PARAMETERS, SEED, type Name } from "./limits";

type Sampling = Extract<MessageInitShape<typeof SamplingParametersSchema>, { $typeName?: never }>;
type Stop = Extract<MessageInitShape<typeof StopConditionsSchema>, { $typeName?: never }>;

export class Parameters {
  readonly element: HTMLDetailsElement;
  private readonly fields = new Map<Name, Field>(PARAMETERS.map((limits) => [limits.name, new Field(limits)]));
  private readonly seed = new Field(SEED);
  private readonly stops = el("textarea", { id: "stop.stop_strings", rows: 2, spellcheck: "false" });
  private readonly ignoresEnd = el("input", { id: "stop.ignore_end_of_sequence", type: "checkbox" });
  private readonly lookup = el("input", { id: "drafts.prompt_lookup", type: "checkbox" });

  constructor() {
    const usual = PARAMETERS.filter(({ rare }) => !rare).map(({ name }) => this.field(name).element);
    const rare = PARAMETERS.filter(({ rare }) => rare).map(({ name }) => this.field(name).element);
    const more = el("details", { class: "more" }, say(el("summary"), "parameters.more"), el("div", { class: "fields" }, ...rare));
    more.append(checkbox(this.ignoresEnd, say(el("label"), "parameters.ignore_end")));
    more.append(checkbox(this.lookup, say(el("label"), "parameters.lookup")));
    this.element = el(
      "details",
      { class: "parameters" },
      say(el("summary"), "parameters"),
      el("div", { class: "fields" }, ...usual, this.seed.element, this.stopField()),
      more,
    );
    const wide = matchMedia("(min-width: 60rem)");
    this.element.open = wide.matches;
  }

  /** Returns what is asked for, and what is wrong with it before any server has seen it. */
  read(): { readonly request: Request; readonly violations: readonly Violation[] } {
    const violations: Violation[] = [];
    const number = (name: Name): number | undefined => this.field(name).number(violations);
    const sampling: Sampling = defined({
      temperature: number("temperature"),
      topK: number("top_k"),
      topP: number("top_p"),
      minP: number("min_p"),
      typicalP: number("typical_p"),
      repetitionPenalty: number("repetition_penalty"),
      presencePenalty: number("presence_penalty"),
      frequencyPenalty: number("frequency_penalty"),
    });
    const stopStrings = this.stops.value.split("\n").filter(Boolean).map(unescaped);
    const stop: Stop = defined({
      maxNewTokens: number("max_new_tokens"),
      minNewTokens: number("min_new_tokens"),
      stopStrings,
      ignoreEndOfSequence: this.ignoresEnd.checked,
    });
    const seed = this.seed.whole(violations);
    const drafts = this.lookup.checked ? { promptLookup: true } : undefined;
    return { request: defined({ sampling, stop, seed, drafts }), violations };
  }

  /** Lets the next generation repeat this seed. */
  setSeed(seed: bigint): void {
    this.seed.value = String(seed);
    this.element.open = true;
  }

  /** Shows what was wrong beside the fields that are meant. Returns the first of them. */
  show(violations: readonly Violation[]): HTMLElement | undefined {
    const wrong = [...this.fields.values(), this.seed].filter((field) => field.complain(violations));
    const first = wrong[0]?.input;
    for (let around = first?.closest("details"); around; around = around.parentElement?.closest("details")) around.open = true;
    return first;
  }

  private field(name: Name): Field {
    const field = this.fields.get(name);
    if (!field) throw new Error(name);
    return field;
  }

  private stopField(): HTMLElement {
    const label = say(el("label", { for: this.stops.id }), "parameters.stop_strings");
    const hint = say(el("small"), "parameters.stop_strings.hint");
    return el("div", { class: "field wide" }, label, this.stops, hint);
  }
}

function checkbox(input: HTMLInputElement, label: HTMLLabelElement): HTMLElement {
  label.htmlFor = input.id;
  return el("p", { class: "check" }, input, label);
}

// A stop string of one line that means a line's end is written as in most languages: \n, \t, \\.
function unescaped(text: string): string {
  const meant: Readonly<Record<string, string>> = { n: "\n", t: "\t", "\\": "\\" };
  return text.replace(/\\([nt\\])/g, (_, letter: string) => meant[letter] ?? letter);
}

function defined<T extends object>(values: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const kept = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(kept) as { [K in keyof T]: Exclude<T[K], undefined> };
}
