// A choice of a few, as a group of buttons of which one is pressed: language, theme, what is shown.
import { say, sayAttribute, type Key } from "../strings/say";
import { button, el } from "./dom";

/** label: words of the page, or a name that is the same in every language. */
export interface Choice<T extends string> {
  readonly value: T;
  readonly label: Key | { readonly name: string };
}

export class Chooser<T extends string> {
  readonly element = el("div", { role: "group", class: "chooser" });
  private readonly buttons = new Map<T, HTMLButtonElement>();
  private readonly onChoose: (value: T) => void;

  constructor(label: Key, choices: readonly Choice<T>[], chosen: T, onChoose: (value: T) => void) {
    this.onChoose = onChoose;
    sayAttribute(this.element, "aria-label", label);
    for (const { value, label } of choices) {
      const made = button({}, () => this.choose(value));
      if (typeof label === "string") say(made, label);
      else made.textContent = label.name;
      this.buttons.set(value, made);
    }
    this.element.append(...this.buttons.values());
    this.press(chosen);
  }

  private choose(value: T): void {
    this.press(value);
    this.onChoose(value);
  }

  private press(chosen: T): void {
    for (const [value, made] of this.buttons) made.setAttribute("aria-pressed", String(value === chosen));
  }
}
