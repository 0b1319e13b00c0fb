// The models of a server, to choose one from.
import { ModelState, type Model } from "../generated/protos/seqstream/v1/model_pb";
import { say, sayAttribute, type Key } from "../strings/say";
import { amount } from "./amount";
import { button, el } from "./dom";

/** Models that differ are told apart by name and version. */
export function reference(model: Model): string {
  return `${model.name}@${model.version}`;
}

const STATES: Readonly<Partial<Record<ModelState, Key>>> = {
  [ModelState.LOADING]: "state.loading",
  [ModelState.UNLOADING]: "state.unloading",
  [ModelState.FAILED]: "state.failed",
};

export class ModelList {
  readonly element: HTMLDetailsElement;
  private readonly list = el("ul");
  private readonly chosen = el("span", { class: "chosen" });
  private readonly buttons = new Map<string, HTMLButtonElement>();
  private readonly onChoose: (model: Model) => void;
  private readonly wide = matchMedia("(min-width: 60rem)");

  constructor(onChoose: (model: Model) => void) {
    this.onChoose = onChoose;
    const title = el("summary", {}, say(el("span"), "models"), this.chosen);
    const nav = sayAttribute(el("nav", {}, this.list), "aria-label", "models");
    this.element = el("details", { class: "models" }, title, nav);
    this.element.open = true;
    this.wide.addEventListener("change", () => (this.element.open = this.wide.matches));
  }

  /** Shows these, in this order. */
  show(models: readonly Model[]): void {
    this.buttons.clear();
    this.list.replaceChildren(...models.map((model) => el("li", {}, this.entry(model))));
    if (models.length === 0) this.list.append(say(el("li", { class: "quiet" }), "models.none"));
  }

  /** Marks this one as chosen, and on a small screen makes room for it. */
  mark(model: Model): void {
    for (const [name, made] of this.buttons) {
      if (name === reference(model)) made.setAttribute("aria-current", "true");
      else made.removeAttribute("aria-current");
    }
    this.chosen.textContent = reference(model);
    if (!this.wide.matches) this.element.open = false;
  }

  private entry(model: Model): HTMLButtonElement {
    const state = STATES[model.state];
    const made = button(
      { class: "model" },
      () => this.onChoose(model),
      el("strong", {}, model.name, el("small", {}, `@${model.version}`)),
      state ? say(el("span", { class: "state" }), state) : el("span", {}, summary(model)),
    );
    this.buttons.set(reference(model), made);
    return made;
  }
}

/** Says what a model is in a few words that are the same in every language. */
export function summary(model: Model): string {
  return [model.family, amount(Number(model.parameters)), model.precision].filter(Boolean).join(" · ");
}
