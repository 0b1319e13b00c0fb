// Who calls: a token and a tenant, for servers that ask. Kept in memory, or in this tab's session storage if the reader
// says so; never in the address.
import type { Caller } from "../api/calls";
import { say } from "../strings/say";
import { button, el } from "./dom";

const KEPT = "seqstream.caller";

export class Access {
  readonly element: HTMLDialogElement;
  private caller: Caller = kept();
  private readonly token = el("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false" });
  private readonly tenant = el("input", { id: "tenant", autocomplete: "off", spellcheck: "false", maxlength: 64 });
  private readonly keeps = el("input", { id: "keep", type: "checkbox" });
  private readonly onChange: () => void;

  /** onChange: called when somebody else calls from now on. */
  constructor(onChange: () => void) {
    this.onChange = onChange;
    const form = el(
      "form",
      { method: "dialog" },
      say(el("h2", { id: "access-title" }), "access.title"),
      say(el("p"), "access.why"),
      say(el("label", { for: "token" }), "access.token"),
      this.token,
      say(el("label", { for: "tenant" }), "access.tenant"),
      this.tenant,
      el("p", { class: "check" }, this.keeps, say(el("label", { for: "keep" }), "access.keep")),
      el(
        "div",
        { class: "actions" },
        say(el("button", { type: "submit", class: "primary" }), "access.use"),
        say(button({}, () => this.forget()), "access.forget"),
      ),
    );
    form.addEventListener("submit", () => this.use());
    this.element = el("dialog", { "aria-labelledby": "access-title" }, form);
  }

  /** Returns who calls now. */
  current(): Caller {
    return this.caller;
  }

  open(): void {
    this.token.value = this.caller.token;
    this.tenant.value = this.caller.tenant;
    this.keeps.checked = sessionStorage.getItem(KEPT) !== null;
    this.element.showModal();
  }

  private use(): void {
    this.caller = { token: this.token.value.trim(), tenant: this.tenant.value.trim() };
    if (this.keeps.checked) sessionStorage.setItem(KEPT, JSON.stringify(this.caller));
    else sessionStorage.removeItem(KEPT);
    this.onChange();
  }

  private forget(): void {
    this.token.value = "";
    this.tenant.value = "";
    this.keeps.checked = false;
    this.use();
    this.element.close();
  }
}

function kept(): Caller {
  const found = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}") as Partial<Caller>;
  return { token: found.token ?? "", tenant: found.tenant ?? "" };
}
