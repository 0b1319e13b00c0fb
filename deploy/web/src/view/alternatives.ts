// One token, and what could have stood in its place.
import type { Candidate, Token } from "../api/progress";
import type { Model } from "../generated/protos/seqstream/v1/model_pb";
import { say, words, written } from "../strings/say";
import { el, visible } from "./dom";

export class Alternatives {
  readonly element: HTMLElement;
  private readonly list = el("ol");
  private readonly hint = say(el("p", { class: "quiet" }), "alternatives.hint");
  private model: Model | undefined;

  constructor() {
    this.element = el("aside", { class: "alternatives" }, say(el("h2"), "alternatives"), this.hint, this.list);
  }

  adapt(model: Model): void {
    this.model = model;
  }

  /** Shows a token; read aloud if the reader went there by key. */
  show(token: Token | undefined, byKey: boolean): void {
    this.hint.hidden = token !== undefined;
    this.list.setAttribute("aria-live", byKey ? "polite" : "off");
    if (!token) return this.list.replaceChildren();
    const others = token.alternatives.filter(({ id }) => id !== token.id);
    const known = token.alternatives.find(({ id }) => id === token.id);
    const drawn = { ...token, text: known?.text ?? token.text };
    const entries = [...others, drawn].sort((one, other) => other.logprob - one.logprob);
    this.list.replaceChildren(...entries.map((each) => this.entry(each, each.id === token.id)));
  }

  private entry(candidate: Candidate, isDrawn: boolean): HTMLElement {
    const probability = Math.exp(candidate.logprob);
    const bar = el("span", { class: "bar" });
    bar.style.setProperty("--part", String(probability));
    const entry = el("li", { class: isDrawn ? "drawn" : undefined }, el("code", {}, this.named(candidate)), bar);
    entry.append(el("span", { class: "number" }, shown(probability)));
    entry.title = words("alternatives.id", { id: String(candidate.id) });
    return entry;
  }

  private named({ id, text }: Candidate): string {
    const special = this.model?.specialTokens;
    if (text === "" && id === special?.eos) return words("alternatives.end");
    return text === "" ? `#${id}` : visible(text);
  }
}

function shown(probability: number): string {
  if (Number.isNaN(probability)) return "";
  return probability < 0.001 ? "< 0.1 %" : `${written(100 * probability, 3)} %`;
}
