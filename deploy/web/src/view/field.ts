// A number in a form: its name, its limits, and what the server says of it.
import type { Violation } from "../api/failure";
import { say, sayAttribute, words } from "../strings/say";
import { el } from "./dom";
import type { Limits } from "./limits";

const MOST_UINT32 = 2 ** 32 - 1;
const MOST_UINT64 = 2n ** 64n - 1n;

export class Field {
  readonly element: HTMLElement;
  readonly input: HTMLInputElement;
  private readonly complaint = el("small", { class: "complaint" });
  private readonly limits: Limits;

  constructor(limits: Limits) {
    this.limits = limits;
    const { path, label, allowed, preset, whole } = limits;
    const id = path;
    const inputmode = whole ? "numeric" : "decimal";
    this.input = el("input", { id, inputmode, autocomplete: "off", placeholder: preset, "aria-describedby": `${id}-said` });
    if (preset === "") sayAttribute(this.input, "placeholder", "parameters.drawn");
    const hint = el("small", { class: "allowed" }, allowed);
    const said = el("div", { id: `${id}-said`, class: "said" }, hint, this.complaint);
    this.element = el("div", { class: "field" }, say(el("label", { for: id }), label), this.input, said);
    this.input.addEventListener("input", () => this.complain([]));
  }

  set value(text: string) {
    this.input.value = text;
    this.complain([]);
  }

  /** Returns the number, or undefined for none. What cannot be sent at all is added to `violations`. */
  number(violations: Violation[]): number | undefined {
    const text = this.input.value.trim();
    if (text === "") return undefined;
    const value = Number(text.replace(",", "."));
    const fits = this.limits.whole ? Number.isInteger(value) && value >= 0 && value <= MOST_UINT32 : !Number.isNaN(value);
    if (!fits) violations.push(this.violation(text));
    return fits ? value : undefined;
  }

  /** Returns the number as one of 64 bits. */
  whole(violations: Violation[]): bigint | undefined {
    const text = this.input.value.trim();
    if (text === "") return undefined;
    const fits = /^\d+$/.test(text) && BigInt(text) <= MOST_UINT64;
    if (!fits) violations.push(this.violation(text));
    return fits ? BigInt(text) : undefined;
  }

  /** Shows what was said of this field. Returns whether anything was. */
  complain(violations: readonly Violation[]): boolean {
    const own = violations.filter(({ field }) => field === this.limits.path);
    this.complaint.textContent = own.map(({ description }) => description).join("; ");
    if (own.length > 0) this.input.setAttribute("aria-invalid", "true");
    else this.input.removeAttribute("aria-invalid");
    return own.length > 0;
  }

  private violation(given: string): Violation {
    const key = this.limits.whole ? "parameters.not_whole" : "parameters.not_a_number";
    return { field: this.limits.path, description: words(key, { given }) };
  }
}
