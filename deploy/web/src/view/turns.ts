// A conversation, turn by turn.
import { say, sayAttribute } from "../strings/say";
import { button, el } from "./dom";

// A template may know others; these are what the protocol names.
const ROLES = ["system", "user", "assistant"] as const;

interface Turn {
  readonly role: string;
  readonly content: string;
}

export class Turns {
  readonly element: HTMLElement;
  private readonly list = el("ol", { class: "turns" });

  constructor() {
    const adder = say(button({ class: "quiet" }, () => this.add("user", "").focus()), "turns.add");
    this.element = el("div", {}, say(el("p", { class: "label" }), "prompt.messages"), this.list, adder);
    this.add("user", "");
  }

  /** Returns where the last turn is written. */
  get last(): HTMLElement {
    const found = this.list.querySelector<HTMLElement>("li:last-child textarea");
    return found ?? this.add("user", "");
  }

  read(): Turn[] {
    return [...this.list.children].map((turn) => ({
      role: turn.querySelector("select")?.value ?? "",
      content: turn.querySelector("textarea")?.value ?? "",
    }));
  }

  /** Adds a turn. Returns where it is written. */
  add(role: (typeof ROLES)[number], content: string): HTMLTextAreaElement {
    const select = el("select", {}, ...ROLES.map((each) => el("option", { value: each, selected: each === role }, each)));
    const text = el("textarea", { rows: 2, spellcheck: "false" });
    text.value = content;
    const turn = el("li", {}, sayAttribute(select, "aria-label", "turns.role"), sayAttribute(text, "aria-label", "turns.content"));
    turn.append(sayAttribute(button({ class: "quiet remove" }, () => turn.remove(), "×"), "aria-label", "turns.remove"));
    this.list.append(turn);
    return text;
  }
}
